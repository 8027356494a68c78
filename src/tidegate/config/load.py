"""File, environment and flags to :class:`GatewayOptions`, with every problem found at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tidegate.config.checks import check
from tidegate.config.lines import Path
from tidegate.config.places import with_places
from tidegate.config.schema import Key, keys_of, title
from tidegate.config.sources import CONFIG_VARIABLE, Sources
from tidegate.config.values import (
    EXAMPLES,
    Text,
    Wrong,
    closest,
    is_loopback,
    range_problem,
    value_of,
    written,
)
from tidegate.safety.classifier import ClassifierOptions
from tidegate.safety.profile import ProfileOptions, SafetyOptions
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
    sources.lay_over([(_flag(key), tuple(key.split(".")), text) for key, text in (flags or {}).items()])
    tree = sources.tree
    options = _Builder(sources, environ).table(GatewayOptions, tree, ())
    if not sources.problems and require_upstream and not tree.get("upstream") and sources.file is not None:
        sources.report(
            (), 'no upstream; add [[upstream]] with name = "main" and base_url = "https://api.openai.com/v1"'
        )
    sources.raise_if_any()
    assert isinstance(options, GatewayOptions)
    if sources.file is None and "anonymous" not in sources.tree.get("auth", {}) and not options.auth.keys:
        # Nobody but this machine can reach it, and nobody has said who may.
        anonymous = is_loopback(options.server.host)
        options = replace(options, auth=replace(options.auth, anonymous=anonymous))
    return replace(options, ledger=with_places(options.ledger, environ))


def _flag(key: str) -> str:
    return "--" + key.rpartition(".")[2].replace("_", "-")


class _Builder:
    """Makes options objects of raw tables, and goes on after a problem, so that all of them are found."""

    def __init__(self, sources: Sources, environ: Mapping[str, str]) -> None:
        self._sources = sources
        self._environ = environ

    def table(self, options: type, raw: Mapping[str, Any], path: Path) -> Any:
        """The options object of a table, or ``None`` with the problems reported."""
        known = keys_of(options)
        filled: dict[str, Any] = {}
        before = len(self._sources.problems)
        if options is UpstreamOptions:
            raw = self._aliases_of_models(raw, filled, path)
        elif options is SafetyOptions:
            raw = self._profile(raw, filled, path)
            raw = self._by_name("classifier", ClassifierOptions, raw, filled, path)
        for name, value in raw.items():
            key = known.get(name)
            if key is None:
                _unknown_in(self._sources, (*path, name), value, known)
            elif key.table is not None:
                filled[key.attribute] = self._tables(key, value, (*path, name))
            else:
                filled[key.attribute] = _merged(filled.get(key.attribute), self._leaf(key, value, (*path, name)))
        for key in known.values():
            if key.required and key.attribute not in filled:
                line = written(key.name, EXAMPLES[key.name])
                self._sources.report(path, f"{title(path)} has no {key.name}; write for example {line}")
        if len(self._sources.problems) > before:
            return None
        made = options(**filled)
        check(self._sources, path, made, self._environ)
        return made

    def _tables(self, key: Key, value: Any, path: Path) -> Any:
        assert key.table is not None
        if not key.many:
            if isinstance(value, dict):
                return self.table(key.table, value, path)
            self._sources.report(path, f"{title(path)} must be a table; write {title(path)} on a line of its own")
            return None
        header = title((*path, 0))
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            self._sources.report(path, f"{title(path)} must be a list of tables; write {header} with two brackets")
            return None
        return tuple(self.table(key.table, entry, (*path, index)) for index, entry in enumerate(value))

    def _leaf(self, key: Key, raw: Any, path: Path) -> Any:
        try:
            value = value_of(key, raw)
        except Wrong as wrong:
            problem: str | None = str(wrong)
            value = None
        else:
            problem = range_problem(key.name, value)
        if problem is not None:
            self._sources.report_value(path, problem)
        return value

    def _aliases_of_models(self, raw: Mapping[str, Any], filled: dict[str, Any], path: Path) -> Mapping[str, Any]:
        """``models`` written as a table is aliases, with no names beside them."""
        models = raw.get("models")
        if not isinstance(models, dict) and not (isinstance(models, Text) and models.lstrip().startswith("{")):
            return raw
        aliases = keys_of(UpstreamOptions)["aliases"]
        filled["aliases"] = self._leaf(
            replace(aliases, name="models", default={"fast": "gpt-4o-mini"}), models, (*path, "models")
        )
        filled["models"] = ()
        return {name: value for name, value in raw.items() if name != "models"}

    def _profile(self, raw: Mapping[str, Any], filled: dict[str, Any], path: Path) -> Mapping[str, Any]:
        """``profile`` may be a name, which is ``use``, or tables by name, which are ``[[safety.profile]]``."""
        profile = raw.get("profile")
        if profile is None or isinstance(profile, list):
            return raw
        here = (*path, "profile")
        if not isinstance(profile, dict):
            filled["use"] = self._leaf(keys_of(SafetyOptions)["use"], profile, here)
        elif wrong := next((name for name, table in profile.items() if not isinstance(table, dict)), None):
            named = title((*here, "NAME"))
            self._sources.report((*here, wrong), f"{title(here)} holds profiles by name; write {named} before {wrong}")
        else:
            filled["profiles"] = tuple(
                self.table(ProfileOptions, {**table, "name": name}, (*here, name)) for name, table in profile.items()
            )
        return {name: value for name, value in raw.items() if name != "profile"}

    def _by_name(
        self, name: str, options: type, raw: Mapping[str, Any], filled: dict[str, Any], path: Path
    ) -> Mapping[str, Any]:
        """Tables by name, which are ``[[safety.classifier]]``."""
        tables = raw.get(name)
        if not isinstance(tables, dict):
            return raw
        here = (*path, name)
        wrong = next((inner for inner, table in tables.items() if not isinstance(table, dict)), None)
        if wrong is not None:
            named = title((*here, "NAME"))
            self._sources.report((*here, wrong), f"{title(here)} holds {name}s by name; write {named} before {wrong}")
        else:
            filled[f"{name}s"] = tuple(
                self.table(options, {**table, "name": inner}, (*here, inner)) for inner, table in tables.items()
            )
        return {inner: value for inner, value in raw.items() if inner != name}


def _merged(before: Any, value: Any) -> Any:
    return {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value


def _unknown_in(sources: Sources, path: Path, value: Any, known: Mapping[str, Key]) -> None:
    name = str(path[-1])
    if len(path) == 1:
        sections = list(known)
        meant = closest(name, sections)
        if meant is None:
            hint = "known sections: " + ", ".join(_header(section, known) for section in sections)
        else:
            hint = f"did you mean {_header(meant, known)}?"
        home = _home(name)
        if home is not None:
            sources.report(path, f'"{name}" belongs under {home}')
        elif isinstance(value, dict | list):
            sources.report(path, f"unknown section [{name}]; {hint}")
        else:
            sources.report(path, f'unknown key "{name}" outside of a section; {hint}')
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
