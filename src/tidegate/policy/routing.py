"""Which upstreams serve a model, and in which order they are tried.

1. Every upstream that knows the name is a candidate: by an alias (then it is asked for its own name of the model), by
   the exact name, or by a glob.
2. Lower ``priority`` first: that is the operator's word.
3. Within a priority, whoever names the model (alias or exact) comes before whoever only has a glob for it, so that a
   catch-all never takes a share of a model that somebody was named for, yet still stands in.
4. Within that, a weighted random order: the first place is drawn in proportion to ``weight``, the second among the
   rest, and so on (Efraimidis and Spirakis, 2006). Weight 0 is never first while another is there: a soft drain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tidegate.policy.names import Names, is_glob

__all__ = ["Route", "RouteSpec", "Router"]

_REMEMBERED: Final = 512
"""Model names whose routes are remembered; clients choose names, so it has to end somewhere."""

_LONGEST: Final = 256
"""Characters of a name that is remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSpec:
    """What routing needs to know of one upstream."""

    name: str
    models: tuple[str, ...] = ("*",)
    aliases: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    weight: float = 1.0
    safety: str = ""
    """The upstream's safety profile, by name; empty: none of its own."""


@dataclass(frozen=True, slots=True)
class Route:
    """One candidate: ask ``upstream`` for ``model``."""

    upstream: str
    model: str
    priority: int
    weight: float


class Router:
    """The upstreams' models, compiled. Immutable: a reload makes a new one."""

    __slots__ = ("_known", "_safety", "_specs")

    def __init__(self, specs: Iterable[RouteSpec]) -> None:
        self._specs = [(spec, Names(spec.models)) for spec in specs]
        self._safety = {spec.name: spec.safety for spec, _ in self._specs if spec.safety}
        self._known: dict[str, list[tuple[int, Route]]] = {}

    def candidates(self, model: str, rand: Callable[[], float]) -> list[Route]:
        """The routes for a model, best first; empty when nobody serves it.

        :param rand: uniform in [0, 1), such as ``random.random``; called once for each of several candidates.
        """
        matching = self._matching(model)
        if len(matching) == 1:
            return [matching[0][1]]
        ranked = [(route.priority, rank, _draw(route.weight, rand()), route) for rank, route in matching]
        ranked.sort(key=lambda entry: entry[:3])
        return [route for *_, route in ranked]

    def matches(self, model: str) -> bool:
        """Whether any upstream serves the model."""
        return bool(self._matching(model))

    def safety(self, model: str, upstream: str = "") -> tuple[str, ...]:
        """The safety profiles of every upstream that may be asked for the model, which one failed over to is too.

        :param upstream: asked without a model.
        """
        if not self._safety:
            return ()
        asked = (upstream,) if upstream else (route.upstream for _, route in self._matching(model))
        return tuple(dict.fromkeys(filter(None, (self._safety.get(name, "") for name in asked))))

    def _matching(self, model: str) -> list[tuple[int, Route]]:
        """Who serves the model, with the rank of the match. Remembered for the first few hundred names asked for."""
        found = self._known.get(model)
        if found is None:
            found = []
            for spec, known in self._specs:
                match = _match(model, spec, known)
                if match is not None:
                    name, rank = match
                    found.append((rank, Route(spec.name, name, spec.priority, spec.weight)))
            if len(self._known) < _REMEMBERED and len(model) <= _LONGEST:
                self._known[model] = found
        return found

    def names(self) -> list[str]:
        """Every name that can be listed, in the order of the configuration: exact ones and aliases, no globs."""
        listed: dict[str, None] = {}
        for spec, _ in self._specs:
            listed.update(dict.fromkeys(spec.aliases))
            listed.update(dict.fromkeys(name for name in spec.models if not is_glob(name)))
        return list(listed)


def _match(model: str, spec: RouteSpec, known: Names) -> tuple[str, int] | None:
    """The upstream's name for the model, and 0 when it is named, 1 when a glob covers it."""
    alias = spec.aliases.get(model)
    if alias is not None:
        return alias, 0
    if known.exactly(model):
        return model, 0
    return (model, 1) if known.by_glob(model) else None


def _draw(weight: float, rand: float) -> float:
    """Exponentially distributed with rate ``weight``: the smallest of several is drawn in proportion to the weights."""
    return -math.log(1.0 - rand) / weight if weight > 0 else math.inf
