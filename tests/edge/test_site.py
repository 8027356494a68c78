"""edge/site.py: what follows from the gateway's own settings."""

from __future__ import annotations

import pytest

from tidegate.edge.site import Site


@pytest.mark.parametrize(("heartbeat", "longest", "timeout"), [(15.0, 600.0, 605), (0.0, 10.5, 16), (60.0, 100.0, 240)])
def test_a_time_out_is_longer_than_heartbeat_and_answer(heartbeat: float, longest: float, timeout: int) -> None:
    assert Site(gateways=("a:1",), heartbeat=heartbeat, longest=longest).timeout == timeout


def test_it_listens_where_one_expects_it() -> None:
    assert Site(gateways=("a:1",)).address == "80"
    assert Site(gateways=("a:1",), domain="x.y").address == "443"
    assert Site(gateways=("a:1",), domain="x.y", listen="127.0.0.1:8443").address == "127.0.0.1:8443"
    assert Site(gateways=("a:1",), most_bytes=1).megabytes == 1
