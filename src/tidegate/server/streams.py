"""Routes about streams: the live table, one stream, stop, cancel, and what a reader's page saw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tidegate.errors import InvalidRequest, Overloaded
from tidegate.policy.keys import ANONYMOUS, Principal
from tidegate.server.answers import json_response
from tidegate.server.body import read_body
from tidegate.server.fleet import MAX_SHOWN, Watch
from tidegate.server.gateway import Gateway
from tidegate.shared.messages import Operation
from tidegate.telemetry.prometheus import ReaderCounts
from tidegate.wire.openai_chat import encode_json
from tidegate.wire.sse import HEARTBEAT_SSE, encode_sse

__all__ = ["StreamRoutes"]

MAX_SEEN: Final = 1024
"""Bytes of a page's report."""

MAX_WATCHERS: Final = 64

INTERVAL: Final = 0.5
"""Seconds between two events of the live table."""

HEARTBEAT: Final = 15.0


Rows = list[dict[str, Any]]


class StreamRoutes:
    """Everything under ``/v1/streams``: of this process, and of the others that share its Redis."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._own = gateway.own_streams
        self._fleet = gateway.fleet
        self._watchers = 0

    async def list(self, request: Request) -> Response:
        """``GET /v1/streams``: live ones, the caller's own (an admin: all)."""
        who = await self._gateway.who(request.scope)
        rows = self._named(self._own.registry.visible(who), who)
        if self._fleet is None:
            return json_response({"object": "list", "data": rows, **self._readers(who)})
        found = await self._fleet.list(who)
        rows = sorted([*rows, *self._named(found.rows, who)], key=_created)
        return json_response(
            {"object": "list", "data": rows, **self._readers(who, found.readers), **_part(self._fleet.partial(found))}
        )

    def _readers(self, who: Principal, others: Iterable[ReaderCounts] = ()) -> dict[str, Any]:
        """What readers reported of all streams: for admins (and where nobody has a key), once there is a report."""
        if not _is_told_of_all(who):
            return {}
        readers = self._gateway.metrics.readers(others)
        return {"readers": readers} if readers["reports"] else {}

    def _named(self, rows: Rows, who: Principal) -> Rows:
        """With the process that has each: names of machines are for those who are told of everything."""
        if self._fleet is not None and _is_told_of_all(who):
            for row in rows:
                row["replica"] = self._fleet.name(row["id"])
        return rows

    async def one(self, request: Request) -> Response:
        """``GET /v1/streams/{id}``: live or ended."""
        return json_response(await self._do("one", request))

    async def stop(self, request: Request) -> Response:
        """``POST /v1/streams/{id}/stop``: the model stops, the answer so far ends cleanly. Again is the same."""
        return json_response(await self._do("stop", request))

    async def cancel(self, request: Request) -> Response:
        """``DELETE /v1/streams/{id}``: the model stops; a reader who is there gets an error. Again is the same."""
        return json_response(await self._do("cancel", request))

    async def seen(self, request: Request) -> Response:
        """``POST /v1/streams/{id}/seen``: figures that the reader's page measured, kept with the stream."""
        await self._do("seen", request)
        return Response(status_code=204)

    async def _do(self, operation: Operation, request: Request) -> dict[str, Any]:
        who, stream_id = await self._gateway.who(request.scope), request.path_params["id"]
        report = None
        if operation == "seen":
            report = _report(await read_body(request.scope, request.receive, limit=MAX_SEEN, timeout=5.0))
        if self._fleet is not None and self._fleet.elsewhere(stream_id):
            row = await self._fleet.ask(operation, stream_id, who, report)
        else:
            row = self._own.do(operation, stream_id, who, report)
        return self._named([row], who)[0]

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
            async with AsyncExitStack() as stack:
                others = None
                if self._fleet is not None:
                    others = await stack.enter_async_context(self._fleet.watch(who))
                    await others.ready()
                async for event in self._events(who, others):
                    yield event
        finally:
            self._watchers -= 1

    async def _events(self, who: Principal, others: Watch | None) -> AsyncIterator[bytes]:
        last, quiet, told = b"", 0.0, (0, 0)
        while not self._gateway.relay.draining and not self._gateway.leaving:
            table = encode_json(self._live(who, others))
            ended, told = self._news(who, others, told)
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

    def _live(self, who: Principal, others: Watch | None) -> dict[str, Any]:
        live, rows = self._own.registry.newest(who, MAX_SHOWN)
        if others is None:
            return {"live": live, "streams": rows, **self._readers(who)}
        found = others.found
        rows = sorted([*rows, *found.rows], key=_created)[-MAX_SHOWN:]
        return {
            "live": live + found.live,
            "streams": self._named(rows, who),
            **self._readers(who, found.readers),
            **_part(others.partial),
        }

    def _news(self, who: Principal, others: Watch | None, told: tuple[int, int]) -> tuple[Rows, tuple[int, int]]:
        ended, mine = self._own.registry.news(who, told[0])
        if others is None:
            return ended, (mine, 0)
        more, theirs = others.news(told[1])
        return self._named(sorted([*ended, *more], key=_end), who), (mine, theirs)


def _is_told_of_all(who: Principal) -> bool:
    return who.admin or who == ANONYMOUS


def _part(partial: bool) -> dict[str, Any]:
    return {"partial": True} if partial else {}


def _created(row: Mapping[str, Any]) -> float:
    return float(row["created"])


def _end(row: Mapping[str, Any]) -> float:
    return float(row["created"] + row["duration"])


def _report(body: bytes) -> dict[str, Any]:
    """Numbers and booleans by name: nothing in it can be text of an answer."""
    try:
        report = msgspec.json.decode(body, type=dict[str, int | float | bool | None])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidRequest('The report must be a JSON object of numbers, such as {"ttft": 0.21}.') from None
    if len(report) > 32 or not all(name.isidentifier() and len(name) <= 40 for name in report):
        raise InvalidRequest("The report has too many names, or one that is not an identifier.")
    return report
