"""Where a value came from, and how to say so: ``tidegate.toml:12``, ``TIDEGATE_STREAM__IDLE_TIMEOUT``, ``--port``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any

from tidegate.config.lines import Path, locate
from tidegate.config.schema import keys_of, title
from tidegate.config.values import Text, closest
from tidegate.errors import ConfigError
from tidegate.server.options import GatewayOptions

__all__ = ["PREFIX", "Sources"]

PREFIX = "TIDEGATE_"
CONFIG_VARIABLE = "TIDEGATE_CONFIG"
# Kubernetes sets these in every pod beside a Service named "tidegate"; they are not meant for us.
_KUBERNETES = re.compile(r"TIDEGATE_(SERVICE_HOST|SERVICE_PORT\w*|PORT(_\d+_(TCP|UDP|SCTP)\w*)?)")


class Sources:
    """The raw tree of file, variables and flags laid over one another, and the problems found in it."""

    def __init__(self, path: str | None) -> None:
        self.file = path
        self.tree: dict[str, Any] = {}
        self.problems: list[str] = []
        self._lines: dict[Path, int] = {}
        self._named: dict[Path, str] = {}
        if path is not None:
            self._read(path)

    def where(self, path: Path) -> str:
        """The place of a key; of a table that only variables make, any of them; or of the nearest table around it."""
        below = (name for inner, name in self._named.items() if inner[: len(path)] == path != ())
        if path not in self._lines and (name := next(below, None)) is not None:
            return name
        for length in range(len(path), -1, -1):
            if path[:length] in self._named:
                return self._named[path[:length]]
            if path[:length] in self._lines:
                return f"{self.file}:{self._lines[path[:length]]}"
        return self.file or "configuration"

    def report(self, path: Path, text: str) -> None:
        """Add a problem of the key or table at ``path``; all of them are shown together."""
        self.problems.append(f"{self.where(path)}: {text}")

    def report_value(self, path: Path, problem: str) -> None:
        """Add a problem of one value, as a sentence that begins with its key.

        Not with the key when it comes from a variable or a flag: their names stand in front and say it already.
        """
        depth = max(at for at, part in enumerate(path) if isinstance(part, str))
        if isinstance(path[depth], str) and path[depth - 1] == "headers":
            depth -= 1
        if path[: depth + 1] in self._named:
            self.report(path, problem)
        else:
            inside = "".join(f' "{part}"' for part in path[depth + 1 :] if isinstance(part, str))
            self.report(path, f"{title(path[:depth])} {path[depth]}{inside} {problem}")

    def raise_if_any(self) -> None:
        if self.problems:
            ordered = sorted(dict.fromkeys(self.problems), key=self._order)
            # A quoted key may hold a line break or an escape code; a problem is one line all the same.
            raise ConfigError("\n".join(line if line.isprintable() else ascii(line)[1:-1] for line in ordered))

    def _order(self, problem: str) -> int:
        """The file's problems by line, as one reads them; then the others."""
        place = re.match(rf"{re.escape(str(self.file))}:(\d+): ", problem)
        return int(place[1]) if place else len(self._lines) + 10**9

    def _read(self, path: str) -> None:
        try:
            text = FilePath(path).read_bytes().decode("utf-8-sig")
        except FileNotFoundError:
            raise ConfigError(f"{path}: no such file; make one with: tidegate config example > {path}") from None
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise ConfigError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from None
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
        try:
            self.tree = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(_syntax(path, text, str(error))) from None
        self._lines = locate(text)

    def lay_over(self, entries: Iterable[tuple[str, Path, str]]) -> None:
        """Put values of variables or flags over the tree."""
        for name, path, text in entries:
            node: Any = self.tree
            for here, part in enumerate(path[:-1]):
                node = self._step(name, node, part, path[here + 1])
            if isinstance(node, dict):
                node[path[-1]] = Text(text)
                self._named[path] = name

    def _step(self, name: str, node: Any, part: str | int, following: str | int) -> Any:
        """The node below, made when it is not there; ``None`` where the file has something else (reported later)."""
        if isinstance(part, int) and isinstance(node, list):
            if part > len(node):
                right = name.replace(f"__{part}__", f"__{len(node)}__", 1)
                self.problems.append(f"{name}: the tables before it are missing; the next one is {right}")
                return None
            if part == len(node):
                node.append({})
            return node[part]
        if isinstance(part, str) and isinstance(node, dict):
            return node.setdefault(part, [] if isinstance(following, int) else {})
        return None

    def lay_over_environment(self, environ: Mapping[str, str]) -> None:
        """Put every ``TIDEGATE_SECTION__KEY`` over the tree, and report the ones that are no setting."""
        entries = []
        for name, text in environ.items():
            if not name.startswith(PREFIX) or name == CONFIG_VARIABLE:
                continue
            path = _path_of(name)
            if path is not None:
                entries.append((name, path, text))
            elif not _KUBERNETES.fullmatch(name) or (name == "TIDEGATE_PORT" and "://" not in text):
                meant = closest(name.lower(), [known.lower() for known in variables()], cutoff=0.75)
                hint = f"did you mean {meant.upper()}?" if meant else f"a setting is {PREFIX}SECTION__KEY"
                self.problems.append(f"{name}: unknown variable; {hint}")
        entries.sort(key=lambda entry: [(isinstance(part, str), part) for part in entry[1]])
        self.lay_over(entries)


def _path_of(name: str) -> Path | None:
    """``TIDEGATE_UPSTREAM__0__BASE_URL`` → ``("upstream", 0, "base_url")``; ``None`` when no option is there."""
    parts = name.removeprefix(PREFIX).lower().split("__")
    if parts == ["safety", "profile"]:
        return ("safety", "use")  # a variable has no tables: it can only name one
    options: type | None = GatewayOptions
    path: list[str | int] = []
    while parts and options is not None:
        key = keys_of(options).get(parts.pop(0))
        if key is None:
            return None
        path.append(key.name)
        options = key.table
        if key.many:
            if not parts or not parts[0].isdecimal():
                return None
            path.append(int(parts.pop(0)))
    return tuple(path) if options is None and not parts else None


def variables() -> list[str]:
    """The name of every setting's variable; the first of each list of tables stands for all."""
    found: list[str] = []

    def walk(options: type, prefix: str) -> None:
        for key in keys_of(options).values():
            name = f"{prefix}{key.name.upper()}"
            if key.table is None:
                found.append(name)
            else:
                walk(key.table, f"{name}__0__" if key.many else f"{name}__")

    walk(GatewayOptions, PREFIX)
    return found


def _syntax(path: str, text: str, message: str) -> str:
    place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)", message)
    what = message[: place.start()] if place else message
    line = int(place[1]) if place and place[1] else text.rstrip("\n").count("\n") + 1
    column = f" (column {place[2]})" if place and place[2] else ""
    hint = ""
    if what == "Invalid value":
        hint = '; text needs quotes: key = "value"'
    elif what.startswith("Cannot"):
        hint = "; the same key or table is there twice"
    elif "after a key" in what:
        hint = "; a setting is written key = value"
    return f"{path}:{line}: not valid TOML: {what[:1].lower()}{what[1:]}{column}{hint}"
