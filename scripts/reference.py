"""Writes the reference pages out of the code: commands, configuration, metrics, HTTP interface.

A hook of mkdocs (``hooks:`` in mkdocs.yml), so that the pages are made whenever the documentation is built and are
never a copy that ages. ``python scripts/reference.py`` prints them.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click
from prometheus_client.core import Metric

from tidegate.cli import cli
from tidegate.config import example
from tidegate.config.example import field_docs
from tidegate.config.schema import Key, keys_of, title
from tidegate.config.values import CHOICES, written
from tidegate.server.openapi import document, error_codes
from tidegate.server.options import GatewayOptions
from tidegate.telemetry.admission import AdmissionMetrics
from tidegate.telemetry.ledger import LedgerMetrics, LedgerState
from tidegate.telemetry.prometheus import PrometheusHook
from tidegate.telemetry.replicas import ReplicaMetrics, ReplicaState
from tidegate.telemetry.workers import Together

__all__ = ["PAGES", "commands", "metrics", "on_files", "settings"]

WIDTH = 100
"""Columns of a command's help."""


def commands(
    command: click.Command = cli, name: str = "tidegate", parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    """Every command with its ``--help``, groups first."""
    context = click.Context(
        command, info_name=name, parent=parent, **{**command.context_settings, "terminal_width": WIDTH}
    )
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            below = command.get_command(context, each)
            assert below is not None
            if not below.hidden:
                yield from commands(below, each, context)


def settings(options: type = GatewayOptions, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str, type, list[Key]]]:
    """Every table of the configuration: how it is written, its class, its plain keys."""
    keys = list(keys_of(options).values())
    if path:
        yield title(path), options, [key for key in keys if key.table is None]
    for key in keys:
        if key.table is not None:
            yield from settings(key.table, (*path, key.name, *((0,) if key.many else ())))


def metrics() -> list[Metric]:
    """Every metric of ``/metrics``, ours before the process's."""
    registry = PrometheusHook().registry
    LedgerMetrics(registry, lambda: LedgerState({}, {}, {}, 0, 0, 0, 0, 0, away=False), str)
    AdmissionMetrics(registry, shared=lambda: (False, 0, 0))
    ReplicaMetrics(registry, lambda: ReplicaState(1, True, 0, 0))
    found = [*registry.collect(), *Together().own(1)]
    return sorted(found, key=lambda metric: metric.name.startswith(("process_", "python_")))


def command_page() -> str:
    """docs/reference/cli.md"""
    parts = ["# Command line", "Every command with its `--help`, as the program prints it."]
    for name, text in commands():
        parts.append(f"## `{name}`\n\n```text\n{text.rstrip()}\n```")
    return _page(parts)


def configuration_page() -> str:
    """docs/reference/configuration.md"""
    intro = (
        "One TOML file; flags win over variables, variables over the file. Every value is also an environment variable "
        "(`TIDEGATE_STREAM__IDLE_TIMEOUT`), every secret a reference (`env:NAME`, `file:/path`). "
        "A key that nothing knows is an error."
    )
    parts = ["# Configuration", intro]
    for name, options, keys in settings():
        docs = field_docs(options)
        rows = [
            (f"`{key.name}`", _type(options, key), _default(key), _cell(docs.get(key.attribute, ""))) for key in keys
        ]
        parts.append(f"## `{name}`\n\n{_about(options)}\n\n{_table(('key', 'type', 'default', 'what'), rows)}")
    parts.append("## The whole file\n\nAs `tidegate config example` prints it:\n\n```toml\n" + example() + "```")
    return _page(parts)


def metrics_page() -> str:
    """docs/reference/metrics.md"""
    rows = []
    for metric in metrics():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        labels = ", ".join(f"`{label}`" for label in _labels(metric))
        rows.append((f"`{name}`", metric.type, labels, _cell(metric.documentation)))
    intro = (
        "`GET /metrics`, in Prometheus' text format. Histograms have `_bucket`, `_sum` and `_count`. A label never "
        "holds a key, a prompt or a completion; beyond a hundred models that nobody configured, the label is `other`."
    )
    return _page(["# Metrics", intro, _table(("metric", "type", "labels", "what"), rows)])


def http_page() -> str:
    """docs/reference/http.md"""
    api = document()
    calls = [(path, method, call) for path, methods in api["paths"].items() for method, call in methods.items()]
    intro = (
        "For programs, this is `GET /openapi.json` (OpenAPI 3.1). Every stream's response carries `x-stream-id`. "
        "NDJSON has no end marker: a line with a finish reason and a cleanly ended body is complete. Empty lines "
        "(NDJSON) and lines that begin with a colon (SSE) are heartbeats."
    )
    overview = [(f"`{method.upper()} {path}`", call["summary"]) for path, method, call in calls]
    parts = ["# HTTP interface", intro, _table(("call", "what"), overview)]
    for path, method, call in calls:
        if call["tags"] != ["Page"]:
            parts.append(f"## `{method.upper()} {path}`\n\n{_call(call)}")
    for name, schema in api["components"]["schemas"].items():
        parts.append(f"## {name}\n\n{_schema(schema)}")
    rows = [
        (str(kind.default_status), f"`{kind.default_code}`", f"`{kind.type}`", kind.fault, _cell(inspect.getdoc(kind)))
        for kind in error_codes()
    ]
    parts.append(
        "## Errors\n\nWith this status while there is still a head to write; afterwards the same object is the last "
        "event of the stream.\n\n" + _table(("status", "code", "type", "whose fault", "when"), rows)
    )
    return _page(parts)


PAGES: dict[str, Callable[[], str]] = {
    "reference/cli.md": command_page,
    "reference/configuration.md": configuration_page,
    "reference/metrics.md": metrics_page,
    "reference/http.md": http_page,
}
"""The generated pages, by their path under docs/."""


def on_files(files: Any, config: Any) -> Any:
    """mkdocs' hook: adds the pages to those that were written by hand."""
    from mkdocs.structure.files import File

    for path, write in PAGES.items():
        files.append(File.generated(config, path, content=write()))
    return files


def _call(call: dict[str, Any]) -> str:
    lines = [call.get("description", "")]
    if "requestBody" in call:
        lines.append(f"Body: {_kind(call['requestBody']['content']['application/json']['schema'])}.")
    rows = []
    for status, answer in call["responses"].items():
        content = answer.get("content", {})
        kinds = {media: _kind(each["schema"].get("contentSchema", each["schema"])) for media, each in content.items()}
        bodies = "; ".join(f"`{media}`: {kind}" for media, kind in kinds.items())
        rows.append((status, answer["description"], bodies))
    lines.append(_table(("status", "what", "body"), rows))
    return "\n\n".join(line for line in lines if line)


def _schema(schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [
        (f"`{name}`" + ("" if name in required else " (optional)"), _kind(each), _cell(each.get("description", "")))
        for name, each in _fields(schema)
    ]
    parts = [schema.get("description", ""), _table(("field", "type", "what"), rows) if rows else _kind(schema)]
    return "\n\n".join(part for part in parts if part)


def _fields(schema: dict[str, Any], before: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, each in schema.get("properties", {}).items():
        yield before + name, each
        inner = each.get("items", each)
        if "properties" in inner:
            yield from _fields(inner, f"{before}{name}{'[]' if 'items' in each else ''}.")


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "items" in schema:
        return f"array of {_kind(schema['items'])}"
    if schema.get("type") == "object" and "additionalProperties" in schema and schema["additionalProperties"]:
        return f"object of {_kind(schema['additionalProperties'])}"
    kind = schema.get("type", "anything")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _labels(metric: Metric) -> list[str]:
    # A family without a sample has its labels nowhere else.
    names = list(getattr(metric, "_labelnames", ()))
    return names or sorted({name for sample in metric.samples for name in sample.labels} - {"le"})


def _type(options: type, key: Key) -> str:
    hint = get_type_hints(options)[key.attribute]
    choices = CHOICES.get(key.name) or (get_args(hint) if get_origin(hint) not in (tuple, dict) else ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return ", ".join(f"`{choice}`" for choice in choices if choice)
    words = [word for choice in get_args(hint) if get_origin(choice) is Literal for word in get_args(choice)]
    if words:
        return ", ".join(("whole number", *(f"`{word}`" for word in words)))
    names = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
    plain = hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
    if plain.startswith("tuple"):
        return "list of text"
    if "Mapping" in plain:
        return "table of text"
    return names.get(plain.removesuffix(" | None"), plain)


def _default(key: Key) -> str:
    if key.required:
        return "(must be given)"
    if key.default is None or key.default == ():
        return "—"
    value = written(key.name, key.default).partition(" = ")[2]
    return f"`{value}`"


def _about(options: type) -> str:
    text = _plain(re.sub(r"^``\[.*?``[.:]\s*", "", inspect.getdoc(options) or ""))
    return text[:1].upper() + text[1:]


def _plain(text: str | None) -> str:
    """Docstring to markdown, on one line."""
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", text or "")
    return " ".join(text.replace("``", "`").split())


def _cell(text: str | None) -> str:
    return _plain(text).replace("|", "\\|")


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _page(parts: list[str]) -> str:
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    for name in sys.argv[1:] or PAGES:
        print(PAGES[name]())
