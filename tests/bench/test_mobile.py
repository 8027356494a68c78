"""bench/mobile.py: the same answers with gzip and without, over links that only count; test_link.py has real ones."""

from __future__ import annotations

import os
import socket
from typing import Any, cast

import pytest

from tests.fakes.gateway import rig, run, simulator_options
from tests.fakes.ports import unused_port
from tidegate.bench.abandonment import Reader
from tidegate.bench.link import Link
from tidegate.bench.mobile import Phones
from tidegate.bench.visible import PlainText
from tidegate.bench.ways import WAYS, Way

READERS = [Reader(number, 0.01, 30, 200.0, 1e9, 1e9) for number in (1, 2)]


class Counted:
    """A link that is loopback; of what it sends it knows what was read."""

    shaped = "not at all"

    def __init__(self) -> None:
        self.sockets = 0
        self.sent = 0

    def socket(self) -> socket.socket:
        self.sockets += 1
        self.sent += 3000
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def phones(url: str) -> tuple[Phones, list[Counted]]:
    made = [Counted(), Counted()]
    return Phones(cast(list[Link], made), url, os.getpid()), made


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_every_way_is_read_whole_in_both_codings(way: Way) -> None:
    async def case() -> None:
        async with rig(simulated=simulator_options()) as gate:
            found, made = phones(f"http://127.0.0.1:{gate.port}")
            await found.warm(READERS[0], way)
            assert [link.sockets for link in made] == [2, 0]
            mobile = await found.ask(READERS, way, PlainText)
            assert (mobile.phones, mobile.shaped) == (2, "not at all")
            for coding in (mobile.plain, mobile.gzip):
                assert coding.failed == 0
                assert coding.bytes_per_token == 100.0
                assert cast(Any, coding.cpu_per_token) > 0
                assert cast(Any, coding.painted) > 0
            sent = {record.framing for record in gate.records}
            assert len(sent) == 1

    run(case())


def test_what_is_not_read_whole_has_no_figures() -> None:
    async def case() -> None:
        found, _ = phones(f"http://127.0.0.1:{unused_port()}")
        mobile = await found.ask(READERS, WAYS[2], PlainText)
        assert (mobile.plain.failed, mobile.gzip.failed) == (2, 2)
        assert (mobile.plain.bytes_per_token, mobile.plain.painted) == (None, None)

    run(case())
