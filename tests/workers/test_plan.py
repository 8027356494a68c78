"""workers/plan.py: whose the sockets are, what each may have, and when it is started again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.server.options import GatewayOptions, ServerOptions
from tidegate.upstream.options import UpstreamOptions
from tidegate.workers.plan import PAUSES, assigned, pause, share


@pytest.mark.parametrize(
    ("sockets", "workers", "found"),
    [
        (3, [0, 1, 2], {0: [0], 1: [1], 2: [2]}),
        (3, [0, 2], {0: [0], 2: [1, 2]}),
        (4, [1], {1: [0, 1, 2, 3]}),
        (4, [0, 1], {0: [0, 2], 1: [1, 3]}),
        (1, [0, 1], {0: [0], 1: [0]}),
        (2, [], {}),
    ],
)
def test_every_socket_is_somebodys(sockets: int, workers: list[int], found: dict[int, list[int]]) -> None:
    assert assigned(sockets, workers) == found


@given(sockets=st.integers(2, 20), workers=st.sets(st.integers(0, 19), min_size=1))
def test_no_socket_is_nobodys_or_two_peoples(sockets: int, workers: set[int]) -> None:
    found = assigned(sockets, sorted(workers))
    assert sorted(place for places in found.values() for place in places) == list(range(sockets))
    assert found.keys() == workers


@given(count=st.integers(1, 16), streams=st.integers(16, 50_000), idle=st.integers(0, 1000))
def test_what_bounds_a_process_is_divided_and_nothing_of_it_lost(count: int, streams: int, idle: int) -> None:
    upstream = UpstreamOptions(name="a", base_url="http://a/v1", max_connections=streams, max_idle_connections=idle)
    options = GatewayOptions(server=ServerOptions(workers=count, max_streams=streams), upstreams=(upstream,))
    shares = [share(options, number, count) for number in range(count)]
    assert sum(each.server.max_streams for each in shares) == streams
    assert sum(each.upstreams[0].max_connections for each in shares) == streams
    assert sum(each.upstreams[0].max_idle_connections for each in shares) == idle
    assert {each.server.workers for each in shares} == {1}


def test_every_worker_may_have_one_stream() -> None:
    options = GatewayOptions(server=ServerOptions(max_streams=1))
    assert [share(options, number, 3).server.max_streams for number in range(3)] == [1, 1, 1]


def test_who_dies_again_and_again_waits_longer_and_longer() -> None:
    waits = [pause(failures) for failures in range(20)]
    assert waits[0] == 0.0
    assert waits == sorted(waits)
    assert waits[-1] == PAUSES[-1]
