"""File, environment and flags to :class:`GatewayOptions`, with every problem found at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

from tidegate.config.lines import Path
from tidegate.config.schema import LATER, Key, keys_of, title
from tidegate.config.sources import CONFIG_VARIABLE, Sources
from tidegate.config.values import (
    EXAMPLES,
    Wrong,
    base_url_problem,
    closest,
    is_loopback,
    range_problem,
    value_of,
    written,
)
from tidegate.policy.keys import is_hash, looks_like_ours
from tidegate.policy.options import AuthOptions
from tidegate.server.options import GatewayOptions
from tidegate.upstream.options import UpstreamOptions

__all__ = ["load"]


def load(
    path: str | None,
    environ: Mapping[str, str],
    *,
    flags: Mapping[str, str] | None = None,
    require_upstream: bool = True,
) -> GatewayOptions:
    """Everything the gateway needs, checked. Flags win over the environment, the environment over the file.

    :param path: the file; ``None`` takes the one that ``TIDEGATE_CONFIG`` names, or the defaults.
    :param flags: values of the command line by the key's path, ``{"server.port": "8081"}``.
    :param require_upstream: a file without an upstream is an error, unless the caller adds one.
    :raises ConfigError: with one line for each problem: where, which key, what to write instead.
    """
    sources = Sources(path or environ.get(CONFIG_VARIABLE) or None)
    sources.lay_over_environment(environ)
    sources.lay_over(
        [(f"--{key.rpartition('.')[2]}", tuple(key.split(".")), text) for key, text in (flags or {}).items()]
    )
    tree = {name: value for name, value in sources.tree.items() if not _later(sources, name, value)}
    options = _table(sources, GatewayOptions, tree, ())
    if options is not None:
        assert isinstance(options, GatewayOptions)
        _upstreams(sources, options.upstreams, environ, require_upstream)
        _auth(sources, options.auth)
        _cors(sources, options.server.cors_origins)
    sources.raise_if_any()
    assert isinstance(options, GatewayOptions)
    if sources.file is None and "anonymous" not in sources.tree.get("auth", {}) and not options.auth.keys:
        # Nobody but this machine can reach it, and nobody has said who may.
        anonymous = is_loopback(options.server.host)
        options = replace(options, auth=replace(options.auth, anonymous=anonymous))
    return options


def _later(sources: Sources, name: str, value: Any) -> bool:
    """Whether it is the section of a room to come; its keys are checked all the same."""
    if name not in LATER:
        return False
    if not isinstance(value, dict):
        sources.report((name,), f"[{name}] must be a table; write [{name}] on a line of its own")
        return True
    for key in value:
        if key not in LATER[name]:
            _unknown(sources, (name, key), key, LATER[name], f"[{name}]")
    return True


def _table(sources: Sources, options: type, raw: Mapping[str, Any], path: Path) -> Any:
    """An options object of a table, or ``None`` with the problems reported."""
    known = keys_of(options)
    raw = _split_models(raw) if options is UpstreamOptions else raw
    filled: dict[str, Any] = {}
    before = len(sources.problems)
    for name, value in raw.items():
        key = known.get(name)
        if key is None:
            _unknown_in(sources, (*path, name), name, known)
        elif key.table is not None:
            filled[key.attribute] = _tables(sources, key, value, (*path, name))
        else:
            filled[key.attribute] = _leaf(sources, key, value, (*path, name))
    for key in known.values():
        if key.required and key.attribute not in filled:
            line = written(key.name, EXAMPLES[key.name])
            sources.report(path, f"{title(path)} has no {key.name}; write for example {line}")
    return options(**filled) if len(sources.problems) == before else None


def _tables(sources: Sources, key: Key, value: Any, path: Path) -> Any:
    assert key.table is not None
    if not key.many:
        if isinstance(value, dict):
            return _table(sources, key.table, value, path)
        sources.report(path, f"{title(path)} must be a table; write {title(path)} on a line of its own")
        return None
    header = title((*path, 0))
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        sources.report(path, f"{title(path)} must be a list of tables; write {header} with two brackets")
        return None
    return tuple(_table(sources, key.table, entry, (*path, index)) for index, entry in enumerate(value))


def _leaf(sources: Sources, key: Key, raw: Any, path: Path) -> Any:
    try:
        value = value_of(key, raw)
    except Wrong as wrong:
        problem: str | None = str(wrong)
        value = None
    else:
        problem = range_problem(key.name, value)
    if problem is not None:
        _report_value(sources, path, problem)
    return value


def _report_value(sources: Sources, path: Path, problem: str) -> None:
    """Name the key, unless it comes from a variable or a flag, whose own name stands in front already."""
    sources.report(path, problem if sources.named(path) else f"{title(path[:-1])} {path[-1]} {problem}")


def _split_models(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """``models`` as a table is aliases, and no names beside them."""
    models = raw.get("models")
    if isinstance(models, str) and models.lstrip().startswith("{"):
        return {**raw, "aliases": models, "models": []} if "aliases" not in raw else raw
    if not isinstance(models, dict):
        return raw
    aliases = raw.get("aliases", {})
    return {**raw, "models": [], "aliases": {**models, **aliases} if isinstance(aliases, dict) else aliases}


def _unknown_in(sources: Sources, path: Path, name: str, known: Mapping[str, Key]) -> None:
    if len(path) == 1:
        sections = [*known, *LATER]
        meant = closest(name, sections)
        if meant is None:
            hint = "known sections: " + ", ".join(_header(section, known) for section in sections)
        else:
            hint = f"did you mean {_header(meant, known)}?"
        home = _home(name)
        sources.report(path, f'"{name}" belongs under {home}' if home else f"unknown section [{name}]; {hint}")
    else:
        _unknown(sources, path, name, tuple(known), title(path[:-1]))


def _unknown(sources: Sources, path: Path, name: str, known: tuple[str, ...], section: str) -> None:
    meant = closest(name, known)
    home = _home(name)
    if meant is not None:
        hint = f'did you mean "{meant}"?'
    else:
        hint = f"it belongs under {home}" if home else f"known keys: {', '.join(known)}"
    sources.report(path, f'unknown key "{name}" in {section}; {hint}')


def _header(section: str, known: Mapping[str, Key]) -> str:
    return f"[[{section}]]" if section in known and known[section].many else f"[{section}]"


def _home(name: str) -> str | None:
    """The section that has a key of this name."""
    for section in keys_of(GatewayOptions).values():
        assert section.table is not None
        if name in keys_of(section.table):
            return _header(section.name, keys_of(GatewayOptions))
    return None


def _upstreams(
    sources: Sources, upstreams: tuple[UpstreamOptions, ...], environ: Mapping[str, str], required: bool
) -> None:
    if required and not upstreams and sources.file is not None:
        sources.report(
            (), 'no upstream; add [[upstream]] with name = "main" and base_url = "https://api.openai.com/v1"'
        )
    seen: set[str] = set()
    for index, upstream in enumerate(upstreams):
        path: Path = ("upstream", index)
        if not upstream.name.strip():
            _report_value(sources, (*path, "name"), "is empty; every upstream needs a name of its own")
        elif upstream.name in seen:
            _report_value(
                sources, (*path, "name"), f'"{upstream.name}" is taken by an earlier upstream; give it its own'
            )
        seen.add(upstream.name)
        problem = base_url_problem(upstream.base_url)
        if problem is not None:
            _report_value(sources, (*path, "base_url"), problem)
        for position, reference in enumerate(upstream.api_keys):
            _reference(sources, path, ("api_keys", position), reference, environ)
        for header, reference in upstream.headers.items():
            _reference(sources, path, ("headers", header), reference, environ)
        if upstream.ca_file is not None and not _readable(upstream.ca_file):
            _report_value(sources, (*path, "ca_file"), f'cannot be read: "{upstream.ca_file}"')


def _reference(
    sources: Sources, table: Path, key: tuple[str, str | int], reference: str, environ: Mapping[str, str]
) -> None:
    """A secret must be there when the gateway starts. Never repeats a secret that stands here itself."""
    kind, _, target = reference.partition(":")
    problem = None
    if kind == "env" and not environ.get(target, "").strip():
        problem = f"refers to the variable {target or '(no name)'}, which is not set; export {target or 'NAME'}=..."
    elif kind == "file" and not _readable(target):
        problem = f'refers to the file "{target}", which cannot be read or is empty'
    elif reference.startswith("$"):
        name = reference.strip("${}")
        problem = f'is not expanded like a shell would; write "env:{name}"'
    elif not reference.strip():
        problem = 'is empty; write a reference such as "env:OPENAI_API_KEY", or leave the key out'
    if problem is not None:
        path = (*table, *key)
        name = f"{key[0]}" if isinstance(key[1], int) else f'{key[0]} "{key[1]}"'
        at_variable = sources.named((*table, key[0]))
        sources.report(path, problem if at_variable else f"{title(table)} {name} {problem}")


def _readable(path: str) -> bool:
    try:
        return bool(FilePath(path).read_bytes().strip())
    except (OSError, ValueError):
        return False


def _auth(sources: Sources, auth: AuthOptions) -> None:
    seen: set[str] = set()
    for index, key in enumerate(auth.keys):
        path: Path = ("auth", "key", index)
        if not key.id.strip() or key.id == "anonymous":
            _report_value(sources, (*path, "id"), 'must be a name of its own, not empty and not "anonymous"')
        elif key.id in seen:
            _report_value(sources, (*path, "id"), f'"{key.id}" is taken by an earlier key; give it its own')
        seen.add(key.id)
        if looks_like_ours(key.hash):
            _report_value(sources, (*path, "hash"), "is the key itself; write its hash: tidegate keys hash -")
        elif not is_hash(key.hash):
            _report_value(
                sources, (*path, "hash"), 'must be "sha256:" and 64 hex digits; make one with: tidegate keys hash'
            )


def _cors(sources: Sources, origins: tuple[str, ...]) -> None:
    for origin in origins:
        scheme, _, rest = origin.partition("://")
        if origin != "*" and (scheme not in ("http", "https") or not rest or "/" in rest):
            _report_value(
                sources,
                ("server", "cors_origins"),
                f'has "{origin}", which is not an origin; write scheme and host only: "https://app.example.com"',
            )
