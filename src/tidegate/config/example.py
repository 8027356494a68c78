"""A commented file with every setting and its default, made from the option classes themselves."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache

from tidegate.config.schema import Key, keys_of, title
from tidegate.config.values import EXAMPLES, written
from tidegate.server.options import GatewayOptions

__all__ = ["example"]

_HEAD = """\
# Tidegate's configuration. Every setting is here with its default (or an example where that is empty), behind
# a "#" without a space: take the "#" away and change what you need.
#
#   tidegate serve --config tidegate.toml          run it
#   tidegate config check tidegate.toml            find a mistake before it runs
#
# Every setting is also an environment variable, which wins over this file: TIDEGATE_STREAM__IDLE_TIMEOUT=60,
# TIDEGATE_UPSTREAM__0__BASE_URL=..., lists with commas. Secrets are best kept elsewhere and referred to:
# "env:OPENAI_API_KEY", "file:/run/secrets/key".
"""
# What is not commented out: with it the file works as it is.
_LIVE = {
    ("upstream", 0, "name"): "main",
    ("upstream", 0, "base_url"): "http://127.0.0.1:8000/v1",
    ("auth", "anonymous"): True,
}
_NOTES = {
    ("auth", "anonymous"): "Remove this line when others can reach the gateway, and give out keys instead.",
    ("auth", "key", 0): "One of these for each key; `tidegate keys hash` makes a key and prints its table.",
}


def example() -> str:
    """The text of a file that loads as it is."""
    parts = [_HEAD]
    for key in keys_of(GatewayOptions).values():
        parts.extend(_section(key, (key.name,)))
    return "\n".join(parts)


def _section(key: Key, path: tuple[str | int, ...]) -> list[str]:
    assert key.table is not None
    path = (*path, 0) if key.many else path
    optional = path not in _needed()
    lines = [_comment(_first_sentence(key.table))]
    if path in _NOTES:
        lines.append(_comment(_NOTES[path]))
    lines.append(f"#{title(path)}" if optional else title(path))
    below: list[str] = []
    docs = field_docs(key.table)
    for entry in keys_of(key.table).values():
        if entry.table is not None:
            below.extend(_section(entry, (*path, entry.name)))
            continue
        lines.extend(_entry(entry, (*path, entry.name), docs.get(entry.attribute, "")))
    return ["\n".join(line for line in lines if line) + "\n", *below]


def _needed() -> set[tuple[str | int, ...]]:
    """Sections that are not commented out: all but the lists of tables that nobody must have."""
    live = {path[0] for path in _LIVE}
    return {
        (key.name, 0) if key.many else (key.name,)
        for key in keys_of(GatewayOptions).values()
        if not key.many or key.name in live
    }


def _entry(key: Key, path: tuple[str | int, ...], doc: str) -> list[str]:
    lines = [_comment(text) for text in (doc, _NOTES.get(path, "")) if text]
    if path in _LIVE:
        return [*lines, written(key.name, _LIVE[path])]
    empty = key.required or key.default is None or key.default in ((), {})
    line = written(key.name, EXAMPLES[key.name] if empty and key.name in EXAMPLES else key.default)
    return [*lines, f"#{line}"]


def _comment(text: str) -> str:
    return textwrap.fill(text.replace("``", "`"), 100, initial_indent="# ", subsequent_indent="# ") if text else ""


def _first_sentence(options: type) -> str:
    text = " ".join((inspect.getdoc(options) or "").split())
    return text.partition("``. ")[2] if text.startswith("``[") else text


@cache
def field_docs(options: type) -> dict[str, str]:
    """The string under each field, which ``dataclasses`` does not keep."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(options)))
    body = tree.body[0]
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for field, after in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            docs[field.target.id] = " ".join(str(after.value.value).split())
    return docs
