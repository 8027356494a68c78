"""What every route needs: the relay, who may come in, and who is told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import structlog

from tidegate.errors import InvalidRequest
from tidegate.ledger.options import LedgerOptions
from tidegate.policy.keys import Authenticator, Principal, bearer, looks_like_ours
from tidegate.policy.meters import Meters
from tidegate.policy.names import names
from tidegate.policy.options import AuthOptions
from tidegate.policy.prices import Prices
from tidegate.relay.accounts import Accounts
from tidegate.relay.service import Relay
from tidegate.safety.profile import Profile, ProfileError, Profiles
from tidegate.server.admission import Admission
from tidegate.server.body import header
from tidegate.server.costs import Costs
from tidegate.server.fleet import Fleet
from tidegate.server.options import GatewayOptions
from tidegate.server.own_streams import OwnStreams
from tidegate.server.price_lookup import PricesApart
from tidegate.server.price_table import BuiltInPrices
from tidegate.server.spending import Spending
from tidegate.shared.options import SharedOptions
from tidegate.shared.redis_bus import RedisBus
from tidegate.telemetry.admission import AdmissionMetrics
from tidegate.telemetry.hooks import Hooks
from tidegate.telemetry.ledger import LedgerMetrics, LedgerState
from tidegate.telemetry.log import LogHook
from tidegate.telemetry.prometheus import PrometheusHook
from tidegate.telemetry.record import StreamRecord
from tidegate.telemetry.replicas import ReplicaMetrics
from tidegate.upstream.secrets import resolve, resolve_url
from tidegate.wire.chat_request import ChatRequest

if TYPE_CHECKING:
    from tidegate.ledger.ledger import Ledger
    from tidegate.relay.checks.plan import CheckPlan
    from tidegate.safety.classifier import Classifier
    from tidegate.server.checking import Checking
    from tidegate.server.keyring import KeyRing
    from tidegate.shared.bus import Bus
    from tidegate.shared.limits import SharedLimits

__all__ = ["Gateway"]

_log = structlog.get_logger()


class Gateway:
    """One gateway: made of its options, without touching the network. Reached as ``app.state.gateway``.

    :param bus: the way to other processes whose streams are seen from here; with ``[shared] redis`` it is that.
    :param limits: limits that are counted elsewhere; with ``[shared] redis`` it is there.
    """

    def __init__(
        self,
        options: GatewayOptions,
        *,
        environ: Mapping[str, str] = os.environ,
        classifiers: Mapping[str, Classifier] = MappingProxyType({}),
        bus: Bus | None = None,
        limits: SharedLimits | None = None,
    ) -> None:
        self.options = options
        self._classifiers = classifiers
        self._environ = environ
        self.safety = Profiles(options.safety, known_keys=_known_keys(options, environ))
        self.auth = Authenticator(options.auth)
        self._filters = _filters(options)
        self.metrics = PrometheusHook(models=_named(options))
        self.leaving = False
        """Others have taken over: what needs not end by itself ends soon."""
        self.everyone: Callable[[], Awaitable[tuple[bytes, str]]] | None = None
        """What several processes count together, as ``/metrics`` shows it; ``None``: this one is all there is."""
        self.shared = shared_limits(options.shared, environ) or limits
        bus = redis_bus(options.shared, environ) or bus
        ledger = options.ledger
        self.ledger = _ledger(ledger, environ) if ledger.on else None
        accounts = None
        if self.ledger is not None:
            accounts = Accounts(self.ledger.writer, _prices(options, apart=True), store_text=ledger.store_text)
            LedgerMetrics(self.metrics.registry, self._ledger_state, self.metrics.label)
        self.relay = Relay(
            options.upstreams,
            options.stream,
            Hooks([self.metrics, LogHook(), *([] if bus is None else [_Joining(self)])]),
            max_streams=options.server.max_streams,
            environ=environ,
            accounts=accounts,
            tag="" if bus is None else bus.tag,
        )
        self.own_streams = OwnStreams(self.relay.registry, self.metrics, self.relay.account_seen)
        self.fleet = None if bus is None else Fleet(bus, self.own_streams)
        if self.fleet is not None:
            ReplicaMetrics(self.metrics.registry, self.fleet.state)
        self.checking = self._checking(options)
        self._retired: list[Checking] = []
        self._started = False
        self.ready = True
        """Balancers may send streams here."""
        self.keyring: KeyRing | None = None
        if self.ledger is not None:
            from tidegate.server.keyring import KeyRing

            self.keyring = KeyRing(self.ledger.database, _secret(options.auth, environ), self.relay.registry)
        self.admission = Admission(
            Meters(options.limits),
            AdmissionMetrics(self.metrics.registry, shared=self._shared_state if self.shared is not None else None),
            Spending(self._spent if self.ledger is not None else None),
            shared=self.shared,
            cost=self._costs(options),
        )

    def _checking(self, options: GatewayOptions) -> Checking | None:
        safety = options.safety
        if not safety.classifiers and not safety.validation.active and not self._classifiers:
            return None
        from tidegate.server.checking import Checking  # only where something is checked

        return Checking(safety.validation, safety.classifiers, given=self._classifiers, environ=self._environ)

    def plan(self, scope: MutableMapping[str, Any], request: ChatRequest, profile: Profile) -> CheckPlan | None:
        """What the answer to a request is checked for; ``None``: nothing.

        :raises InvalidRequest: the request's own wish makes no sense.
        """
        asked = header(scope, b"x-tidegate-validation")
        word = b"off" if asked is None else asked.strip().lower()
        if word not in (b"on", b"off"):
            raise InvalidRequest("In the header x-tidegate-validation: write on or off.", code="unknown_value")
        wanted = word == b"on"
        if self.checking is None:
            if not wanted:
                return None
            from tidegate.server.checking import Checking

            options = self.options.safety.validation
            self.checking = Checking(options, (), given={}, environ=self._environ)
        return self.checking.plan(request, profile, asked=wanted)

    def _costs(self, options: GatewayOptions) -> Costs:
        return Costs(_prices(options), lambda: self.relay.router)

    def _shared_state(self) -> tuple[bool, int, int]:
        assert self.shared is not None
        return self.shared.away, self.shared.losses, self.shared.fallbacks

    def _spent(self, key_id: str, since: float) -> int:
        assert self.ledger is not None
        return round(self.ledger.spent(since=since, key=key_id) * 1000)

    async def start(self) -> None:
        """Open the ledger, if there is one, and join the other gateways that use the same Redis.

        A database or a Redis that is away does not keep the gateway from serving.

        :raises ConfigError: the ledger is of a newer version of Tidegate.
        """
        if self.fleet is not None:
            self.fleet.start()
        if self._started or self.ledger is None:
            return
        self._started = True
        await asyncio.to_thread(self.ledger.open)

    def _ledger_state(self) -> LedgerState:
        assert self.ledger is not None
        assert self.relay.accounts is not None
        writer, tally = self.ledger.writer, self.relay.accounts.tally
        waiting, size = writer.waiting
        figures = writer.figures
        return LedgerState(
            tokens=tally.tokens.copy(),
            cost={model: nanos / 1e9 for model, nanos in tally.cost.copy().items()},
            unpriced=tally.unpriced.copy(),
            waiting=waiting,
            spool_bytes=size,
            written=figures.written,
            dropped=figures.dropped,
            failed=figures.failed,
            away=figures.away_since is not None,
        )

    async def who(self, scope: MutableMapping[str, Any]) -> Principal:
        """Who a request comes from. Waits only for the ledger, and for that only when it has to be asked.

        :raises Unauthorized: nobody that we know.
        """
        who = self.who_at_once(scope)
        if who is not None:
            return who
        token = bearer((header(scope, b"authorization") or b"").decode("latin-1"))
        assert self.keyring is not None
        return self.auth.verdict(token, await self.keyring.find(token))

    def who_at_once(self, scope: MutableMapping[str, Any]) -> Principal | None:
        """As :meth:`who`, without waiting; ``None``: the ledger has to be asked.

        :raises Unauthorized: nobody that we know.
        """
        value = header(scope, b"authorization")
        if value is None:
            return self.auth.check(None)
        text = value.decode("latin-1")
        if self.keyring is not None:
            token = bearer(text)
            if looks_like_ours(token):
                return self.auth.find(token) or self.keyring.find_at_once(token)
        return self.auth.check(text)

    def filters(self, scope: MutableMapping[str, Any]) -> bool:
        """Whether a filter may be asked for: by this request, or for all, by a key, a model or an upstream."""
        asked = header(scope, b"x-tidegate-safety") is not None
        return asked or self._filters or self.safety.of_all.on

    def filtered_by(self, scope: MutableMapping[str, Any], who: Principal, model: str, upstream: str = "") -> Profile:
        """The safety profile of a request: as strict as the gateway's own, its key's, those of the model and of every
        upstream that may serve it, and the one that it asks for.

        :param upstream: who serves it, where no model says so.
        :raises InvalidRequest: it asks for one that is not there.
        """
        asked = header(scope, b"x-tidegate-safety")
        routes = (*self._of_models(model), *self.relay.router.safety(model, upstream)) if self._filters else ()
        if asked is None and not who.safety and not routes:
            return self.safety.of_all
        try:
            return self.safety.of_request(who.safety, *routes, None if asked is None else asked.decode("latin-1"))
        except ProfileError as error:
            raise InvalidRequest(f"In the header x-tidegate-safety: {error}.", code="unknown_profile") from None

    def _of_models(self, model: str) -> list[str]:
        return [each.profile for each in self.options.safety.models if names((each.model,)).covers(model)]

    @staticmethod
    def scores_ready(profile: Profile) -> bool:
        """Whether the models that a profile scores with have been read."""
        if profile.profanity is None and profile.injection is None:
            return True
        from tidegate.relay import weights

        return (profile.profanity is None or weights.profanity.cache_info().currsize > 0) and (
            profile.injection is None or weights.injection.cache_info().currsize > 0
        )

    @staticmethod
    def prepare(profile: Profile) -> None:
        """Everything of a profile that takes time; for a thread."""
        profile.prepare()
        if profile.profanity is not None or profile.injection is not None:
            from tidegate.relay import weights

            if profile.profanity is not None:
                weights.profanity()
            if profile.injection is not None:
                weights.injection()

    def reload(self, options: GatewayOptions) -> None:
        """Take over what can change while running: upstreams with their secrets, keys, and the limits of new streams.

        Where the gateway listens stays as it is.

        :raises ConfigError: something cannot be read; then everything stays as it is.
        """
        auth = Authenticator(options.auth)
        safety = Profiles(options.safety, known_keys=_known_keys(options, self._environ))
        checking = self.checking if options.safety == self.options.safety else self._checking(options)
        self.relay.reload(options.upstreams, options.stream)
        self.auth, self.safety = auth, safety
        if self.checking is not None and self.checking is not checking:
            self._retired.append(self.checking)  # its streams go on
        self.checking = checking
        self.admission.meters = Meters(options.limits)
        self.admission.cost = self._costs(options)
        if self.relay.accounts is not None:
            self.relay.accounts.prices = _prices(options, apart=True)
        self._filters = _filters(options)
        self.options = options
        _log.info("server.reloaded", upstreams=len(options.upstreams), keys=len(options.auth.keys))

    async def close(self) -> None:
        """Abort every stream and close every connection to an upstream."""
        await self.relay.close()
        for checking in (*self._retired, self.checking):
            if checking is not None:
                await checking.close()
        if self.fleet is not None:
            await self.fleet.close()
        if self.shared is not None:
            await self.shared.close()
        await self.admission.spending.close()
        if self.keyring is not None:
            await self.keyring.close()
        if self.ledger is not None:
            await asyncio.to_thread(self.ledger.close)


class _Joining:
    """The first stream makes the gateway known to the others, where nobody has called :meth:`Gateway.start`."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def opened(self) -> None:
        if self._gateway.fleet is not None:
            self._gateway.fleet.start()

    def ended(self, record: StreamRecord) -> None:
        pass


def _ledger(options: LedgerOptions, environ: Mapping[str, str]) -> Ledger:
    # Imported here: SQLAlchemy is 15 MB, which a gateway without a ledger need not carry.
    from tidegate.ledger.database import Database
    from tidegate.ledger.ledger import Ledger

    return Ledger(Database(resolve_url(options.url, environ)), options)


def shared_limits(options: SharedOptions, environ: Mapping[str, str]) -> SharedLimits | None:
    """Limits over Redis, when there is one.

    :raises ConfigError: its address makes no sense, or the client library is not installed.
    """
    if not options.redis:
        return None
    from tidegate.shared.limits import RedisScript, SharedLimits  # only where limits are shared

    return SharedLimits(options, RedisScript(resolve_url(options.redis, environ), options))


def redis_bus(options: SharedOptions, environ: Mapping[str, str]) -> RedisBus | None:
    """The way to the other gateways that use the same Redis, when there is one.

    :raises ConfigError: as :func:`shared_limits`.
    """
    return RedisBus(resolve_url(options.redis, environ), options) if options.redis else None


def _secret(auth: AuthOptions, environ: Mapping[str, str]) -> bytes | None:
    return resolve(auth.secret, environ).encode() if auth.secret else None


def _prices(options: GatewayOptions, *, apart: bool = False) -> Prices:
    """:param apart: for another thread, which may wait for a process that has the table."""
    addresses = {upstream.name: upstream.base_url for upstream in options.upstreams}
    return Prices(options.prices, PricesApart(addresses) if apart else BuiltInPrices(addresses))


def _known_keys(options: GatewayOptions, environ: Mapping[str, str]) -> list[str]:
    """Secrets of upstreams, which a model that repeats them must not give away."""
    return [resolve(reference, environ) for upstream in options.upstreams for reference in upstream.api_keys]


def _named(options: GatewayOptions) -> tuple[str, ...]:
    return tuple(name for upstream in options.upstreams for name in (*upstream.aliases, *upstream.models))


def _filters(options: GatewayOptions) -> bool:
    """Whether a filter hangs on the key of a request or on its model."""
    each = (*(key.safety for key in options.auth.keys), *(upstream.safety for upstream in options.upstreams))
    return any(each) or bool(options.safety.models)
