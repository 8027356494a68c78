"""Routes about streams: the live table, one stream, stop, cancel, and what a reader's page saw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tidegate.errors import InvalidRequest, Overloaded
from tidegate.policy.keys import ANONYMOUS, Principal
from tidegate.server.answers import json_response
from tidegate.server.body import read_body
from tidegate.server.gateway import Gateway
from tidegate.wire.openai_chat import encode_json
from tidegate.wire.sse import HEARTBEAT_SSE, encode_sse

__all__ = ["StreamRoutes"]

MAX_SEEN: Final = 1024
"""Bytes of a page's report."""

MAX_SHOWN: Final = 500
"""Streams in one event of the live table."""

MAX_WATCHERS: Final = 64

INTERVAL: Final = 0.5
"""Seconds between two events of the live table."""

HEARTBEAT: Final = 15.0


class StreamRoutes:
    """Everything under ``/v1/streams``."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._watchers = 0

    async def list(self, request: Request) -> Response:
        """``GET /v1/streams``: live ones, the caller's own (an admin: all)."""
        who = await self._gateway.who(request.scope)
        return json_response(
            {"object": "list", "data": self._gateway.relay.registry.visible(who), **self._readers(who)}
        )

    def _readers(self, who: Principal) -> dict[str, Any]:
        """What readers reported of all streams: for admins (and where nobody has a key), once there is a report."""
        readers = self._gateway.metrics.readers()
        return {"readers": readers} if (who.admin or who == ANONYMOUS) and readers["reports"] else {}

    async def one(self, request: Request) -> Response:
        """``GET /v1/streams/{id}``: live or ended."""
        who = await self._gateway.who(request.scope)
        return json_response(self._gateway.relay.registry.get(request.path_params["id"], who))

    async def stop(self, request: Request) -> Response:
        """``POST /v1/streams/{id}/stop``: the model stops, the answer so far ends cleanly. Again is the same."""
        who = await self._gateway.who(request.scope)
        registry, stream_id = self._gateway.relay.registry, request.path_params["id"]
        stream = registry.live(stream_id, who)
        if stream is not None:
            stream.soft_stop()
        return json_response(registry.get(stream_id, who))

    async def cancel(self, request: Request) -> Response:
        """``DELETE /v1/streams/{id}``: the model stops; a reader who is there gets an error. Again is the same."""
        who = await self._gateway.who(request.scope)
        registry, stream_id = self._gateway.relay.registry, request.path_params["id"]
        stream = registry.live(stream_id, who)
        if stream is not None:
            stream.cancel()
        return json_response(registry.get(stream_id, who))

    async def seen(self, request: Request) -> Response:
        """``POST /v1/streams/{id}/seen``: figures that the reader's page measured, kept with the stream."""
        who = await self._gateway.who(request.scope)
        body = await read_body(request.scope, request.receive, limit=MAX_SEEN, timeout=5.0)
        report = _report(body)
        stream_id = request.path_params["id"]
        if self._gateway.relay.registry.saw(stream_id, who, report):
            self._gateway.metrics.seen(report)
            self._gateway.relay.account_seen(stream_id)
        return Response(status_code=204)

    async def events(self, request: Request) -> Response:
        """``GET /v1/streams/events``: the live table as an event stream.

        A ``streams`` event whenever the live ones changed, and an ``ended`` event with those that ended or whose reader
        reported: at first all that are still known, so that a reconnect needs no more than the events.
        """
        who = await self._gateway.who(request.scope)
        if self._watchers >= MAX_WATCHERS:
            raise Overloaded("Too many live tables are open.", retry_after=5.0)
        headers = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
        return StreamingResponse(self._table(who), media_type="text/event-stream", headers=headers)

    async def _table(self, who: Principal) -> AsyncIterator[bytes]:
        self._watchers += 1
        try:
            last, quiet, told = b"", 0.0, 0
            while not self._gateway.relay.draining:
                rows = self._gateway.relay.registry.visible(who)
                table = encode_json({"live": len(rows), "streams": rows[-MAX_SHOWN:], **self._readers(who)})
                ended, told = self._gateway.relay.registry.news(who, told)
                if ended:
                    yield encode_sse(encode_json(ended), event="ended")
                if table != last:
                    last, quiet = table, 0.0
                    yield encode_sse(table, event="streams")
                elif quiet >= HEARTBEAT:
                    quiet = 0.0
                    yield HEARTBEAT_SSE
                await asyncio.sleep(INTERVAL)
                quiet += INTERVAL
        finally:
            self._watchers -= 1


def _report(body: bytes) -> dict[str, Any]:
    """Numbers and booleans by name: nothing in it can be text of an answer."""
    try:
        report = msgspec.json.decode(body, type=dict[str, int | float | bool | None])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidRequest('The report must be a JSON object of numbers, such as {"ttft": 0.21}.') from None
    if len(report) > 32 or not all(name.isidentifier() and len(name) <= 40 for name in report):
        raise InvalidRequest("The report has too many names, or one that is not an identifier.")
    return report
