"""``POST /v1/chat/completions`` and ``POST /api/v1/chat/stream``: a request becomes a stream."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator
from time import monotonic
from typing import TypeVar, cast

import msgspec
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.errors import InternalError, InvalidRequest, TidegateError
from tidegate.policy.keys import Principal
from tidegate.relay.downstream import Downstream
from tidegate.relay.endings import Framing
from tidegate.relay.options import StreamOptions
from tidegate.relay.stream import Stream
from tidegate.safety.profile import Channel, Profile, Score
from tidegate.safety.prompt import filtered_prompt
from tidegate.safety.rules import Hit
from tidegate.server.admission import Entry
from tidegate.server.answers import error_response, refused
from tidegate.server.asgi import AsgiDownstream
from tidegate.server.at_once import EXTENSION, CoroutineSend, Later, OwnConnection, OwnDownstream
from tidegate.server.body import ClientGone, arrived, header, read_body
from tidegate.server.compression import coder_for
from tidegate.server.gateway import Gateway
from tidegate.server.obfuscation import hidden, wrapped
from tidegate.server.options import ServerOptions
from tidegate.telemetry.log import place_of
from tidegate.wire.chat_request import ChatRequest, parse_chat_request

__all__ = ["OWN_SEND", "ChatEndpoint", "body_of", "downstream", "until_closed"]

T = TypeVar("T")

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
        entry: Entry | None = None
        hits: dict[tuple[str, str], int] = {}
        begun = False
        try:
            who = await gateway.who(scope)
            request = self._admitted(await body_of(scope, receive, gateway.options.server), who)
            safety = gateway.filtered_by(scope, who, request.model)
            if gateway.admission.concerns(who):
                entry = await gateway.admission.enter(who, request)
            if safety.on:
                if not safety.ready or not gateway.scores_ready(safety):
                    await asyncio.to_thread(gateway.prepare, safety)  # once for each profile
                request = await _checked(request, safety, who, hits)
            async with downstream(scope, receive, send, gateway.relay.options) as down:
                reader = self._dressed(scope, down, request, who)
                stream = self._begin(scope, request, who, reader, entry, accepted=accepted, safety=safety, hits=hits)
                entry = None  # it is the stream's own now
                begun = True
                await until_closed(down, stream)
        except TidegateError as error:
            if begun:
                raise
            gateway.metrics.found((*found, count) for found, count in hits.items())
            await refused(self._gateway.admission, error)(scope, receive, send)
        except ClientGone:
            return
        finally:
            if entry is not None:
                entry.close()

    def at_once(self, scope: Scope, connection: OwnConnection) -> ASGIApp | Later | None:
        """Begin the stream in this callback, on the connection itself.

        That the request asks for no filter of its own, :meth:`ready` has seen; a key that does is left for later.
        """
        accepted = monotonic()
        gateway = self._gateway
        entry: Entry | None = None
        try:
            who = gateway.who_at_once(scope)
            if who is None or who.safety or not gateway.admission.at_once(who):
                return Later.LATER
            request = self._admitted(
                arrived(scope, connection.body() or b"", gateway.options.server.max_request_bytes), who
            )
            if gateway.admission.concerns(who):
                entry = gateway.admission.enter_at_once(who, request)
            options = gateway.relay.options
            if _by_browser(scope):
                connection.close_after()
            down: Downstream = connection.downstream(
                None, high_water=options.high_water, stall_timeout=options.stall_timeout
            )
            down = self._dressed(scope, down, request, who)
            self._begin(scope, request, who, down, entry, accepted=accepted, safety=gateway.safety.of_all)
        except TidegateError as error:
            return refused(self._gateway.admission, error)
        except Exception as error:
            if entry is not None:
                entry.close()
            _log.error("server.bug", kind=type(error).__name__, where=place_of(error))
            return error_response(InternalError("The gateway failed; the details are in its log."))
        return None

    def ready(self, scope: Scope, connection: OwnConnection) -> bool:
        """Whether the request is there as a whole, and neither its body nor a filter has to be waited for."""
        return connection.whole and not self._gateway.filters(scope)

    def _dressed(self, scope: Scope, down: Downstream, request: ChatRequest, who: Principal) -> Downstream:
        """The reader's connection, behind what compresses and hides sizes, for those who get it so."""
        gateway = self._gateway
        hide = hidden(request.include_obfuscation, who, gateway.relay.options)
        coder = coder_for(scope, gateway.options.server.compression, asked=who.compression, hide=hide)
        return wrapped(down, coder, hide=hide, field=True) if hide or coder is not None else down

    def _admitted(self, body: bytes, who: Principal) -> ChatRequest:
        """The request, if it is one and a stream of it may begin now."""
        request = parse_chat_request(body)
        self._gateway.relay.admit(request.model, who)
        return request

    def _begin(
        self,
        scope: Scope,
        request: ChatRequest,
        who: Principal,
        down: Downstream,
        entry: Entry | None,
        *,
        accepted: float,
        safety: Profile,
        hits: dict[tuple[str, str], int] | None = None,
    ) -> Stream:
        gateway = self._gateway
        checks = gateway.checking is not None or "response_format" in request.fields
        stream = gateway.relay.begin(
            request,
            who,
            self._framing(scope, request),
            down,
            scope["headers"],
            accepted=accepted,
            safety=safety,
            allowance=entry,
            also=() if entry is None else entry.headers,
            hits=hits,
            plan=gateway.plan(scope, request, safety) if checks else None,
        )
        gateway.admission.metrics.admitted += 1
        return stream

    def _framing(self, scope: Scope, request: ChatRequest) -> Framing:
        accept = (header(scope, b"accept") or b"").lower()
        if self._own_framing:
            return Framing.SSE if b"text/event-stream" in accept else Framing.NDJSON
        if not request.stream:
            return Framing.JSON
        return Framing.NDJSON if b"application/x-ndjson" in accept else Framing.SSE


async def _checked(
    request: ChatRequest, safety: Profile, who: Principal, hits: dict[tuple[str, str], int]
) -> ChatRequest:
    """The request as its profile lets it leave. What is found is counted in ``hits``, by rule and action.

    :raises InvalidRequest: it does not.
    """
    if safety.injection is not None:
        await _suspected(request, safety.injection, who, hits)
    machine = safety.machine(Channel.INPUT)
    if machine is None:
        return request

    def note(hit: Hit) -> None:
        found = hit.rule, hit.action.value
        hits[found] = hits.get(found, 0) + 1
        _log.info(
            "safety.hit", client=who.id, channel="input", rule=hit.rule, action=hit.action.value, length=hit.length
        )

    return await _in_steps(filtered_prompt(request, machine, key=os.urandom(16), on_hit=note))


async def _in_steps(work: Generator[None, None, T]) -> T:
    """What comes of work that yields wherever others may run."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            return cast(T, done.value)
        await asyncio.sleep(0)


async def _suspected(request: ChatRequest, score: Score, who: Principal, hits: dict[tuple[str, str], int]) -> None:
    """The prompt's score for prompt injection. One that counts is among the ``hits``.

    :raises InvalidRequest: it is too high, and the profile refuses such a prompt.
    """
    from tidegate.relay.weights import injection
    from tidegate.safety.injection import texts_of

    found = await _in_steps(injection().highest(texts_of(msgspec.json.decode(request.fields["messages"]))))
    if found < score.threshold:
        return
    hits["prompt-injection", "block" if score.strict else "tag"] = 1
    _log.info("safety.injection", client=who.id, score=round(found, 3), refused=score.strict)
    if score.strict:
        raise InvalidRequest(
            "The prompt is refused: it reads like one that means to overrule the model's instructions.",
            param="messages",
            code="prompt_injection",
        )


async def body_of(scope: Scope, receive: Receive, server: ServerOptions) -> bytes:
    """A request's body, within its limits; without a wait where the connection has it already."""
    connection: OwnConnection | None = (scope.get("extensions") or {}).get(EXTENSION)
    return await read_body(
        scope,
        receive,
        limit=server.max_request_bytes,
        timeout=server.request_timeout,
        given=None if connection is None else connection.body,
    )


async def until_closed(down: AsgiDownstream | OwnDownstream, stream: Stream) -> None:
    """Wait for the end of a response. A reader that leaves is the stream's own affair."""
    try:
        await down.closed()
    except BaseException:
        stream.abandon()  # the server takes the task away
        raise


def downstream(scope: Scope, receive: Receive, send: Send, options: StreamOptions) -> AsgiDownstream | OwnDownstream:
    """The connection itself where nothing of somebody else's stands before it, else plain ASGI."""
    extensions = scope.get("extensions") or {}
    connection: OwnConnection | None = extensions.get(EXTENSION)
    own = extensions.get(OWN_SEND)
    browser = _by_browser(scope)
    if connection is not None and connection.usable_with(own):
        if browser:
            connection.close_after()
        return connection.downstream(
            None if send is own else cast(CoroutineSend, send),
            high_water=options.high_water,
            stall_timeout=options.stall_timeout,
        )
    return AsgiDownstream(receive, send, high_water=options.high_water, close=browser)


def _by_browser(scope: Scope) -> bool:
    """Whether a browser asks, on HTTP/1.1 (Fetch metadata, https://www.w3.org/TR/fetch-metadata/).

    Its connection is not kept. Of a kept one, Chromium reads up to 16 KB or 5 s on after the page has aborted, in order
    to use it again, and the model would write for nobody meanwhile.
    """
    return scope["http_version"] == "1.1" and header(scope, b"sec-fetch-mode") is not None
