"""relay/attempts.py: which upstream and key is tried next, and after how long; no network, no clock, no chance."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.errors import (
    ConnectionRefused,
    FirstTokenTimeout,
    InvalidRequest,
    Overloaded,
    TidegateError,
    TlsFailed,
    UpstreamFailed,
    UpstreamRefused,
)
from tidegate.policy.routing import Route
from tidegate.relay.attempts import PATIENCE, Attempt, Plan
from tidegate.relay.options import StreamOptions
from tidegate.upstream.client import UpstreamClient
from tidegate.upstream.options import UpstreamOptions

DELAY = 0.8


class Upstreams:
    """A plan over upstreams ``name=keys``, best first, and a clock that stands still until it is moved."""

    def __init__(self, *, attempts: int = 5, rand: float = 0.5, **keys: int) -> None:
        self.clients = {
            name: UpstreamClient(
                UpstreamOptions(
                    name=name, base_url="http://127.0.0.1:9/v1", api_keys=tuple(f"{name}-{n}" for n in range(count))
                ),
                environ={},
            )
            for name, count in keys.items()
        }
        self.now = 1000.0
        options = StreamOptions(retry_attempts=attempts, retry_delay=DELAY)
        routes = [Route(name, f"{name}-model", 0, 1.0) for name in keys]
        self.plan = Plan(self.clients, routes, options, rand=lambda: rand)

    def choose(self) -> Attempt:
        attempt = self.plan.choose(self.now)
        assert attempt is not None
        return attempt

    def fails(self, error: TidegateError) -> tuple[str, Any]:
        """The next try fails: on which upstream and key, and how long to wait then."""
        attempt = self.choose()
        name = attempt.client.name if attempt.key is None else attempt.key.secret
        return name, self.plan.failed(attempt, error, self.now)


def refused(status: int, retry_after: float | None = None) -> UpstreamRefused:
    return UpstreamRefused("No.", status=status, retry_after=retry_after)


DOWN = UpstreamFailed("Down.")


def test_the_best_upstream_is_tried_first_under_its_own_name_of_the_model() -> None:
    attempt = Upstreams(a=0, b=0).choose()
    assert (attempt.client.name, attempt.model, attempt.key, attempt.fresh) == ("a", "a-model", None, True)


@pytest.mark.parametrize("error", [DOWN, ConnectionRefused("No."), FirstTokenTimeout("Late."), refused(408)])
def test_the_next_upstream_is_tried_at_once(error: TidegateError) -> None:
    """And when all have failed, the best one again, after a back-off that grows."""
    up = Upstreams(a=0, b=0)
    assert up.fails(error) == ("a", 0.0)
    assert up.fails(error) == ("b", pytest.approx(0.5 * DELAY * 2))
    assert not up.choose().fresh
    assert up.fails(error) == ("a", pytest.approx(0.5 * DELAY * 4))
    assert up.fails(error) == ("b", pytest.approx(0.5 * DELAY * 8))


def test_there_are_as_many_tries_as_the_options_say() -> None:
    up = Upstreams(a=0, attempts=2)
    waits = [up.fails(DOWN)[1] for _ in range(3)]
    assert waits == [pytest.approx(0.5 * DELAY), pytest.approx(DELAY), None]


def test_without_retries_the_first_failure_is_the_last() -> None:
    assert Upstreams(a=0, b=0, attempts=0).fails(DOWN) == ("a", None)


@pytest.mark.parametrize("error", [refused(400), refused(404), refused(422), InvalidRequest("No.")])
def test_what_another_try_cannot_mend_is_not_tried_again(error: TidegateError) -> None:
    assert Upstreams(a=1, b=1).fails(error) == ("a-0", None)


@pytest.mark.parametrize("status", [401, 403, 429])
def test_a_key_that_is_refused_rests_and_the_next_one_is_tried_at_once(status: int) -> None:
    """The upstream itself has not failed by that: its other keys come before another upstream."""
    up = Upstreams(a=2, b=1)
    assert up.fails(refused(status)) == ("a-0", 0.0)
    assert up.choose().key is not None
    assert up.choose().client.name == "a"
    assert up.fails(refused(status)) == ("a-1", 0.0)
    assert up.choose().client.name == "b"


def test_an_upstream_without_another_key_is_not_asked_again() -> None:
    up = Upstreams(a=2, b=1)
    for _ in range(2):
        up.fails(refused(401))
    assert up.fails(DOWN) == ("b-0", pytest.approx(0.5 * DELAY * 4))
    assert up.choose().client.name == "b"


def test_when_every_upstream_is_barred_there_is_no_further_try() -> None:
    up = Upstreams(a=1, b=0)
    assert up.fails(refused(401)) == ("a-0", 0.0)
    assert up.fails(TlsFailed("Bad.")) == ("b", None)
    assert up.plan.choose(up.now) is None


@pytest.mark.parametrize("error", [TlsFailed("Bad."), Overloaded("Full.")])
def test_an_upstream_that_would_fail_in_the_same_way_is_left_for_good(error: TidegateError) -> None:
    """A bad certificate, a full pool."""
    up = Upstreams(a=0, b=0)
    assert up.fails(error) == ("a", 0.0)
    for _ in range(3):
        assert up.fails(DOWN)[0] == "b"


def test_retry_after_is_honoured() -> None:
    """Never undercut; the jitter comes on top."""
    up = Upstreams(a=0)
    assert up.fails(UpstreamFailed("Down.", retry_after=3.0)) == ("a", pytest.approx(3.0 + 0.5 * DELAY))


def test_a_retry_after_that_is_too_long_is_the_clients_to_wait() -> None:
    assert Upstreams(a=0).fails(UpstreamFailed("Down.", retry_after=PATIENCE + 1)) == ("a", None)


def test_it_does_not_hold_up_another_upstream() -> None:
    up = Upstreams(a=0, b=0)
    assert up.fails(UpstreamFailed("Down.", retry_after=1000.0)) == ("a", 0.0)
    assert up.choose().client.name == "b"


def test_a_key_that_rests_is_waited_for_when_it_is_the_only_one() -> None:
    """429 with ``Retry-After: 4``: the next try is not made before the key is ready."""
    up = Upstreams(a=1, rand=0.0)
    name, wait = up.fails(refused(429, retry_after=4.0))
    assert (name, wait) == ("a-0", pytest.approx(4.0))
    assert up.plan.choose(up.now + wait - 0.01) is None
    up.now += wait
    assert up.choose().key is not None


def test_a_key_that_another_stream_had_refused_is_not_taken() -> None:
    up = Upstreams(a=2, b=1)
    key = up.clients["a"].keys.take(up.now)
    assert key is not None
    up.clients["a"].keys.rest(key, up.now, 429, 30.0)
    assert up.fails(refused(429)) == ("a-1", 0.0)
    assert up.choose().client.name == "b"


def test_when_every_key_rests_there_is_no_try() -> None:
    up = Upstreams(a=2)
    for _ in range(2):
        key = up.clients["a"].keys.take(up.now)
        assert key is not None
        up.clients["a"].keys.rest(key, up.now, 429, 30.0)
    assert up.plan.choose(up.now) is None
    up.now += 30.0
    assert up.choose().client.name == "a"
