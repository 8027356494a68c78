"""The models that can be asked for: the names in the configuration, and, behind a glob, what the upstream lists."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

import msgspec

from tidegate.errors import TidegateError
from tidegate.policy.names import is_glob, names
from tidegate.upstream.client import UpstreamClient

__all__ = ["ModelList"]

FRESH: Final = 60.0
"""Seconds for which an upstream's own list is believed."""

FAILED: Final = 5.0
"""Seconds for which one that did not answer is not asked again."""

MAX_MODELS: Final = 2000
"""Of one upstream. The longest public list has about 500."""

_LIST = msgspec.json.Decoder(dict[str, Any])


class ModelList:
    """The upstreams' models, asked for when somebody asks.

    :param clients: by name; the mapping may change under us.
    """

    def __init__(self, clients: Mapping[str, UpstreamClient]) -> None:
        self._clients = clients
        self._known: dict[str, tuple[float, list[dict[str, Any]]]] = {}

    def forget(self) -> None:
        """Ask again the next time."""
        self._known.clear()

    async def listed(self) -> list[dict[str, Any]]:
        """OpenAI's model objects, each name once, in the order of the configuration."""
        found: dict[str, dict[str, Any]] = {}
        clients = list(self._clients.values())
        lists = await asyncio.gather(*(self._of(client) for client in clients))
        for client, models in zip(clients, lists, strict=True):
            for name in (*client.options.aliases, *(name for name in client.options.models if not is_glob(name))):
                found.setdefault(name, _model(name, client.name))
            for model in models:
                found.setdefault(model["id"], model)
        return list(found.values())

    async def _of(self, client: UpstreamClient) -> list[dict[str, Any]]:
        """What a glob of the upstream covers of its own list; empty when it has no glob or does not tell."""
        globs = tuple(name for name in client.options.models if is_glob(name))
        if not globs:
            return []
        until, models = self._known.get(client.name, (0.0, []))
        if monotonic() >= until:
            fetched = await _fetch(client)
            models = fetched if fetched is not None else models
            self._known[client.name] = (monotonic() + (FAILED if fetched is None else FRESH), models)
        covered = names(globs)
        return [model for model in models if covered.by_glob(model["id"])]


async def _fetch(client: UpstreamClient) -> list[dict[str, Any]] | None:
    try:
        head, body = await client.fetch("/models", key=client.keys.take(monotonic()))
        data = _LIST.decode(body).get("data") if head.status == 200 else None
    except (TidegateError, msgspec.DecodeError, UnicodeDecodeError, TimeoutError):
        return None
    if not isinstance(data, list):
        return None
    found = [model for model in data[:MAX_MODELS] if isinstance(model, dict)]
    return [
        _model(model["id"], client.name, model.get("created"))
        for model in found
        if isinstance(model.get("id"), str) and 0 < len(model["id"]) <= 256 and model["id"].isprintable()
    ]


def _model(name: str, owner: str, created: Any = None) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created if isinstance(created, int) else 0, "owned_by": owner}
