"""Every other call under ``/v1``: it passes to the upstream of its model, as it came."""

from __future__ import annotations

from time import monotonic

from starlette._utils import get_route_path
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from tidegate.errors import Forbidden, MethodNotAllowed, TidegateError
from tidegate.policy.keys import Principal
from tidegate.server.admission import Entry
from tidegate.server.answers import error_response, refused
from tidegate.server.body import ClientGone, header
from tidegate.server.chat import body_of, downstream, until_closed
from tidegate.server.compression import coder_for
from tidegate.server.gateway import Gateway
from tidegate.server.obfuscation import hidden, wrapped
from tidegate.wire.call import CallRequest, parse_call

__all__ = ["CallEndpoint", "CallRoute"]

PREFIX = "/v1"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

_OWN = ("/v1/chat/", "/v1/models", "/v1/streams")
"""What is the gateway's own under ``/v1``, with everything below it."""


class CallRoute(Route):
    """Everything under ``/v1`` that no other route is for, unless ``[server] calls`` is off."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__("/v1/{call:path}", CallEndpoint(gateway), methods=METHODS)
        self._gateway = gateway

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        path = get_route_path(scope)
        if path.startswith(_OWN) or not self._gateway.options.server.calls:
            return Match.NONE, {}
        return super().matches(scope)


class CallEndpoint:
    """A raw ASGI route, as that of chat is."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        accepted = monotonic()
        gateway = self._gateway
        entry: Entry | None = None
        begun = False
        try:
            if scope["method"] not in METHODS:
                raise MethodNotAllowed(f"{scope['method']} is not allowed here. Allowed: {', '.join(METHODS)}.")
            who = await gateway.who(scope)
            request = await self._read(scope, receive)
            upstream = self._admit(scope, request, who)
            self._check_safety(scope, who, request.model, upstream)
            if gateway.admission.concerns(who):
                entry = await gateway.admission.enter(who, request)
            hide = request.stream and hidden(request.include_obfuscation, who, gateway.relay.options)
            mode = gateway.options.server.compression
            # What is asked for with GET passes `compressed_send`.
            coder = None if scope["method"] == "GET" else coder_for(scope, mode, asked=who.compression, hide=hide)
            async with downstream(scope, receive, send, gateway.relay.options) as down:
                stream = gateway.relay.carry(
                    request,
                    who,
                    wrapped(down, coder, hide=hide, field=False),
                    scope["headers"],
                    upstream=upstream,
                    accepted=accepted,
                    allowance=entry,
                    also=() if entry is None else entry.headers,
                )
                gateway.admission.metrics.admitted += 1
                entry = None  # it is the stream's own now
                begun = True
                await until_closed(down, stream)
        except MethodNotAllowed as error:
            response = error_response(error)
            response.headers["allow"] = ", ".join(METHODS)
            await response(scope, receive, send)
        except TidegateError as error:
            if begun:
                raise
            await refused(gateway.admission, error)(scope, receive, send)
        except ClientGone:
            return
        finally:
            if entry is not None:
                entry.close()

    def _check_safety(self, scope: Scope, who: Principal, model: str, upstream: str) -> None:
        """A filter knows the texts of a chat. What it cannot read must not be a way around it.

        :raises Forbidden: one is asked for.
        """
        if self._gateway.filtered_by(scope, who, model, upstream).rules:
            raise Forbidden(
                "A safety profile applies to this request, and only chat can be filtered: use /v1/chat/completions.",
                code="not_filtered",
            )

    async def _read(self, scope: Scope, receive: Receive) -> CallRequest:
        body = await body_of(scope, receive, self._gateway.options.server)
        return parse_call(
            scope["method"],
            get_route_path(scope).removeprefix(PREFIX),
            scope["query_string"],
            header(scope, b"content-type") or b"",
            body,
        )

    def _admit(self, scope: Scope, request: CallRequest, who: Principal) -> str:
        """The upstream of a call without a model; empty for one that has one."""
        relay = self._gateway.relay
        if request.model:
            relay.admit(request.model, who)
            return ""
        named = (header(scope, b"x-tidegate-upstream") or b"").decode("latin-1").strip()
        return relay.admit_to(named or self._gateway.options.server.default_upstream, who)
