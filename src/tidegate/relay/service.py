"""The relay as a whole: upstreams, routing, the streams that run, and how it stops."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import structlog

from tidegate.errors import Draining, Forbidden, InvalidRequest, ModelNotFound, Overloaded, ShutDown
from tidegate.policy.keys import Principal
from tidegate.policy.routing import Route, Router, RouteSpec
from tidegate.relay.accounts import Accounts
from tidegate.relay.allowance import Allowance
from tidegate.relay.attempts import Plan, Tries
from tidegate.relay.call import CallStream
from tidegate.relay.downstream import Downstream
from tidegate.relay.endings import Framing
from tidegate.relay.headers import forwarded, forwarded_call
from tidegate.relay.ids import new_id
from tidegate.relay.models import ModelList
from tidegate.relay.options import StreamOptions
from tidegate.relay.output import Headers
from tidegate.relay.registry import Registry
from tidegate.relay.stream import Stream
from tidegate.safety.chat import ChatFilter
from tidegate.safety.profile import OFF, Channel, Profile
from tidegate.safety.rules import Hit
from tidegate.telemetry.record import StreamHook
from tidegate.upstream.client import UpstreamClient
from tidegate.upstream.options import UpstreamOptions
from tidegate.wire.call import CallRequest
from tidegate.wire.chat_request import ChatRequest

if TYPE_CHECKING:
    from tidegate.relay.checks.plan import CheckPlan

__all__ = ["Relay"]

RETRY_AFTER: Final = 1.0
"""Seconds that a client is asked to wait when this process takes no further stream."""

MOST_HITS: Final = 20
"""Hits of one answer that are reported one by one."""

_POLL: Final = 0.05

_log = structlog.get_logger()


class Relay:
    """Carries streams from the upstreams to their readers.

    :param hook: told of every stream that opens and of its end.
    :param max_streams: live streams at most.
    :param tag: hexadecimal digits that the id of every stream begins with.
    """

    def __init__(
        self,
        upstreams: Sequence[UpstreamOptions],
        options: StreamOptions,
        hook: StreamHook,
        *,
        max_streams: int = 20_000,
        environ: Mapping[str, str] = os.environ,
        accounts: Accounts | None = None,
        tag: str = "",
    ) -> None:
        self._tag = tag
        self.accounts = accounts
        """Keeps the books; ``None`` without a ledger."""
        self.options = options
        self.registry = Registry()
        self.draining = False
        self._hook = hook
        self._max_streams = max_streams
        self._environ = environ
        self._clients: dict[str, UpstreamClient] = {}
        self._retired: list[UpstreamClient] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.router = Router(())
        self.models = ModelList(self._clients)
        self._set(upstreams)

    def _set(self, upstreams: Sequence[UpstreamOptions]) -> None:
        fresh = {options.name: UpstreamClient(options, environ=self._environ) for options in upstreams}
        self._clients.clear()
        self._clients.update(fresh)
        self.router = Router(_spec(options) for options in upstreams)

    def reload(self, upstreams: Sequence[UpstreamOptions], options: StreamOptions) -> None:
        """Secrets are read again; upstreams that changed are replaced, and their live streams go on as they are.

        :raises ConfigError: a secret cannot be read; then nothing has changed.
        """
        fresh = {}
        for upstream in upstreams:
            known = self._clients.get(upstream.name)
            fresh[upstream.name] = (
                known
                if known is not None and known.options == upstream
                else UpstreamClient(upstream, environ=self._environ)
            )
        for name, client in fresh.items():
            if client is self._clients.get(name):
                client.reload()
        self._retired += [client for client in self._clients.values() if client not in fresh.values()]
        self._clients.clear()
        self._clients.update(fresh)
        self.router = Router(_spec(upstream) for upstream in upstreams)
        self.options = options
        self.models.forget()

    def admit(self, model: str, who: Principal) -> None:
        """Whether a stream of that model may begin now.

        :raises Draining: the process is about to stop.
        :raises Overloaded: too many streams are live.
        :raises ModelNotFound: nobody serves the model, or the key may not use it (the answer does not tell which).
        """
        self._admit()
        if not who.may_use(model) or not self.router.matches(model):
            raise ModelNotFound(
                f"The model '{model}' does not exist or you do not have access to it. GET /v1/models lists those "
                "that you may use.",
                param="model",
            )

    def _admit(self) -> None:
        if self.draining:
            raise Draining("The gateway is shutting down; send the request again.", retry_after=RETRY_AFTER)
        if len(self.registry) >= self._max_streams:
            raise Overloaded("The gateway carries as many streams as it may.", retry_after=RETRY_AFTER)

    def admit_to(self, named: str, who: Principal) -> str:
        """Whether a call that names no model may begin now, and on which upstream.

        :param named: the upstream that the request or the configuration names; empty: none.
        :raises Forbidden: the key is for some models only, and such a call is about an account as a whole.
        :raises InvalidRequest: it is not clear which upstream is meant.
        """
        self._admit()
        if not who.admin and "*" not in who.models:
            raise Forbidden("This key is for some models only; a call that names no model is not among what it may do.")
        if named and named not in self._clients:
            raise InvalidRequest(f"There is no upstream '{named[:100]}'.", code="unknown_upstream")
        if not named and len(self._clients) != 1:
            raise InvalidRequest(
                "The request names no model, so nobody knows where it belongs: name the upstream in the header "
                "x-tidegate-upstream, or have the operator set [server] default_upstream.",
                code="unknown_upstream",
            )
        return named or next(iter(self._clients))

    def begin(
        self,
        request: ChatRequest,
        who: Principal,
        framing: Framing,
        down: Downstream,
        headers: Sequence[tuple[bytes, bytes]],
        *,
        accepted: float | None = None,
        safety: Profile = OFF,
        allowance: Allowance | None = None,
        also: Headers = (),
        hits: dict[tuple[str, str], int] | None = None,
        plan: CheckPlan | None = None,
    ) -> Stream:
        """A stream begins, and goes on by itself until its end; call :meth:`admit` first.

        :param headers: the application's, names in lower case; those that may pass do.
        :param accepted: when the request came, on the monotonic clock.
        :param safety: what the answer's texts are filtered by.
        :param allowance: how many tokens it may deliver.
        :param also: headers of the head that the application gets.
        :param hits: what was found in the prompt: how often, by rule and action.
        :param plan: what the answer is checked for; ``None``: nothing.
        """
        stream_id = new_id(self._tag)
        hits = {} if hits is None else hits
        stream = Stream(
            stream_id=stream_id,
            client=who.id,
            request=request,
            framing=framing,
            down=down,
            options=replace(self.options, on_disconnect=who.on_disconnect) if who.on_disconnect else self.options,
            settled=self._settled,
            accepted=accepted,
            texts=partial(_texts, safety, stream_id, hits) if safety.active else None,
            tags=who.tags,
            allowance=allowance,
            headers=also,
            collect=self.accounts is not None and self.accounts.store_text,
            plan=plan,
        )
        stream.hits = hits
        self._open(stream, self.router.candidates(request.model, random.random), self.options, forwarded(headers))
        return stream

    def carry(
        self,
        request: CallRequest,
        who: Principal,
        down: Downstream,
        headers: Sequence[tuple[bytes, bytes]],
        *,
        upstream: str = "",
        accepted: float | None = None,
        allowance: Allowance | None = None,
        also: Headers = (),
    ) -> CallStream:
        """As :meth:`begin`, for any other call; call :meth:`admit` or :meth:`admit_to` first.

        :param upstream: where a call without a model goes.
        """
        options = replace(self.options, on_disconnect=who.on_disconnect or self.options.on_disconnect)
        if not request.stream:
            # What is not streamed says nothing until it is whole.
            options = replace(options, first_token_timeout=options.total_timeout)
        if request.once:
            options = replace(options, retry_attempts=0)
        stream = CallStream(
            stream_id=new_id(self._tag),
            client=who.id,
            request=request,
            framing=Framing.RAW,
            down=down,
            options=options,
            settled=self._settled,
            accepted=accepted,
            tags=who.tags,
            allowance=allowance,
            headers=also,
        )
        routes = self.router.candidates(request.model, random.random) if request.model else [Route(upstream, "", 0, 1)]
        self._open(stream, routes, options, forwarded_call(headers))
        return stream

    def _open(
        self, stream: Stream, routes: Sequence[Route], options: StreamOptions, headers: Sequence[tuple[bytes, bytes]]
    ) -> None:
        self._hook.opened()
        if self.accounts is not None:
            self.accounts.begun(stream)
        self.registry.add(stream)
        stream.open()
        Tries(stream, Plan(self._clients, routes, options), headers, self._spawn).begin()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _settled(self, stream: Stream) -> None:
        record = self.registry.settle(stream)
        if stream.allowance is not None:
            stream.allowance.ended(record)
        self._hook.ended(record)
        if self.accounts is not None:
            self.accounts.ended(stream, record)
            self.account_seen(stream.id)

    def account_seen(self, stream_id: str) -> None:
        """Put what the reader's page reported into the books, once the stream has ended as well."""
        found = self.registry.reported(stream_id)
        if self.accounts is not None and found is not None:
            self.accounts.seen(*found)

    async def drain(self, timeout: float) -> int:
        """Take no further stream, give the live ones ``timeout`` seconds, then end them with an error they can see.

        Returns how many had to be ended.
        """
        self.draining = True
        deadline = monotonic() + timeout
        while len(self.registry) and monotonic() < deadline:  # noqa: ASYNC110 - once in a process's life
            await asyncio.sleep(_POLL)
        late = list(self.registry)
        for stream in late:
            stream.shut_down(ShutDown("The gateway is shutting down and could not wait any longer for this answer."))
        return len(late)

    async def close(self) -> None:
        """Abort whatever is left."""
        self.draining = True
        for stream in self.registry:
            stream.abandon()
        for client in (*self._clients.values(), *self._retired):
            await client.close()
        if self._tasks:
            await asyncio.wait(self._tasks)  # they end by themselves, now that their streams have


def _texts(profile: Profile, stream_id: str, hits: dict[tuple[str, str], int]) -> ChatFilter:
    """The filter of one answer. It counts what it finds in ``hits``; its digests are under a key that nobody keeps."""
    numbers = count(1)

    def note(channel: Channel, hit: Hit) -> None:
        found = hit.rule, hit.action.value
        hits[found] = hits.get(found, 0) + 1
        number = next(numbers)
        if number <= MOST_HITS:
            _log.info(
                "safety.hit",
                stream_id=stream_id,
                channel=channel.value,
                rule=hit.rule,
                action=hit.action.value,
                position=hit.position,
                length=hit.length,
                digest=hit.digest,
            )

    model = None
    if profile.profanity is not None:
        from tidegate.relay.weights import profanity  # only where it is wanted

        model = profanity()
    return ChatFilter(profile, key=os.urandom(16), on_hit=note, profanity=model)


def _spec(options: UpstreamOptions) -> RouteSpec:
    return RouteSpec(
        name=options.name,
        models=options.models,
        aliases=options.aliases,
        priority=options.priority,
        weight=options.weight,
        safety=options.safety,
    )
