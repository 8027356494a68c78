"""``POST /v1/chat/completions`` and ``POST /api/v1/chat/stream``: a request becomes a stream."""

from __future__ import annotations

import asyncio
import os
from time import monotonic
from typing import cast

import structlog
from starlette.types import Receive, Scope, Send

from tidegate.errors import LimitReached, TidegateError
from tidegate.policy.keys import Principal
from tidegate.relay.endings import Framing
from tidegate.relay.options import StreamOptions
from tidegate.safety.profile import Channel, Profile
from tidegate.safety.prompt import filtered_prompt
from tidegate.safety.rules import Hit
from tidegate.server.admission import Entry
from tidegate.server.answers import error_response
from tidegate.server.asgi import AsgiDownstream
from tidegate.server.body import ClientGone, header, read_body
from tidegate.server.fastpath import EXTENSION, CoroutineSend, DirectConnection, FastDownstream
from tidegate.server.gateway import Gateway
from tidegate.wire.chat_request import ChatRequest, parse_chat_request

__all__ = ["OWN_SEND", "ChatEndpoint"]

OWN_SEND = "tidegate.send"
"""In the scope's ``extensions``: the ``send`` that this application was called with, before any of its middleware."""


_log = structlog.get_logger()


class ChatEndpoint:
    """A raw ASGI route: no request object, no response object.

    :param own_framing: the route that always streams, NDJSON unless an event stream is accepted.
    """

    def __init__(self, gateway: Gateway, *, own_framing: bool) -> None:
        self._gateway = gateway
        self._own_framing = own_framing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        accepted = monotonic()
        gateway = self._gateway
        server = gateway.options.server
        admission = gateway.admission
        entry: Entry | None = None
        try:
            try:
                who = await gateway.who(scope)
                connection: DirectConnection | None = (scope.get("extensions") or {}).get(EXTENSION)
                body = await read_body(
                    scope,
                    receive,
                    limit=server.max_request_bytes,
                    timeout=server.request_timeout,
                    arrived=None if connection is None else connection.body,
                )
                request = parse_chat_request(body)
                framing = self._framing(scope, request)
                safety = gateway.filtered_by(scope, who)
                gateway.relay.admit(request.model, who)
                if admission.concerns(who):
                    entry = await admission.enter(who, request)
                if safety.rules:
                    if not safety.ready:
                        await asyncio.to_thread(safety.prepare)  # once for each profile
                    request = await _checked(request, safety, who)
            except TidegateError as error:
                admission.metrics.refused(error.cause if isinstance(error, LimitReached) else error.code)
                await error_response(error)(scope, receive, send)
                return
            except ClientGone:
                return
            admission.metrics.admitted += 1
            async with _downstream(scope, receive, send, gateway.relay.options) as down:
                stream = await gateway.relay.carry(
                    request,
                    who,
                    framing,
                    down,
                    scope["headers"],
                    accepted=accepted,
                    safety=safety,
                    allowance=entry,
                    also=() if entry is None else entry.headers,
                    on_disconnect=who.on_disconnect,
                )
                try:
                    await down.closed()
                finally:
                    stream.abandon()
        finally:
            if entry is not None:
                entry.close()

    def _framing(self, scope: Scope, request: ChatRequest) -> Framing:
        accept = (header(scope, b"accept") or b"").lower()
        if self._own_framing:
            return Framing.SSE if b"text/event-stream" in accept else Framing.NDJSON
        if not request.stream:
            return Framing.JSON
        return Framing.NDJSON if b"application/x-ndjson" in accept else Framing.SSE


async def _checked(request: ChatRequest, safety: Profile, who: Principal) -> ChatRequest:
    """The request as its profile lets it leave.

    :raises InvalidRequest: it does not.
    """
    machine = safety.machine(Channel.INPUT)
    if machine is None:
        return request

    def note(hit: Hit) -> None:
        _log.info(
            "safety.hit", client=who.id, channel="input", rule=hit.rule, action=hit.action.value, length=hit.length
        )

    steps = filtered_prompt(request, machine, key=os.urandom(16), on_hit=note)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return cast(ChatRequest, done.value)
        await asyncio.sleep(0)


def _downstream(scope: Scope, receive: Receive, send: Send, options: StreamOptions) -> AsgiDownstream | FastDownstream:
    """The connection itself where nothing of somebody else's stands before it, else plain ASGI."""
    extensions = scope.get("extensions") or {}
    connection: DirectConnection | None = extensions.get(EXTENSION)
    if connection is not None and connection.usable_with(extensions.get(OWN_SEND)):
        return FastDownstream(
            connection, cast(CoroutineSend, send), high_water=options.high_water, stall_timeout=options.stall_timeout
        )
    return AsgiDownstream(receive, send, high_water=options.high_water)
