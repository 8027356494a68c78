"""server/body.py: a request body within its limits, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from tidegate.errors import InvalidRequest, RequestTimeout, RequestTooLarge
from tidegate.server.body import ClientGone, header, read_body


def read(messages: Iterable[dict[str, Any] | None], *headers: tuple[bytes, bytes], given: bytes | None = None) -> bytes:
    """What ``read_body`` makes of these messages; ``None`` stalls."""
    left = iter(messages)

    async def receive() -> dict[str, Any]:
        message = next(left)
        if message is None:
            await asyncio.sleep(60)
        assert message is not None
        return message

    body = read_body({"headers": list(headers)}, receive, limit=10, timeout=0.05, given=lambda: given)
    return asyncio.run(body)


def part(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_comes_in_parts_or_at_once() -> None:
    assert read([part(b"abc", more=False)]) == b"abc"
    assert read([part(b"ab", more=True), part(b"", more=True), part(b"c", more=False)]) == b"abc"
    assert read([{"type": "http.request"}]) == b""
    assert read([], given=b"abc") == b"abc"


@pytest.mark.parametrize(
    "case",
    [
        {"messages": [part(b"x" * 11, more=False)]},
        {"messages": [part(b"x" * 6, more=True), part(b"x" * 5, more=True)]},
        {"messages": [], "given": b"x" * 11},
    ],
)
def test_one_that_is_over_the_limit_is_refused_as_soon_as_it_is(case: dict[str, Any]) -> None:
    with pytest.raises(RequestTooLarge):
        read(**case)


@pytest.mark.parametrize("length", [b"11", b"9" * 5000])
def test_one_that_says_it_will_be_is_not_waited_for(length: bytes) -> None:
    with pytest.raises(RequestTooLarge):
        read([None], (b"content-length", length))


def test_a_body_within_the_limit_may_say_its_length() -> None:
    assert read([part(b"x" * 10, more=False)], (b"content-length", b"10")) == b"x" * 10


def test_a_slow_one_is_given_up() -> None:
    with pytest.raises(RequestTimeout, match=r"within 0\.05 s"):
        read([part(b"x", more=True), None])


def test_a_client_that_leaves_needs_no_answer() -> None:
    with pytest.raises(ClientGone):
        read([part(b"x", more=True), {"type": "http.disconnect"}])


def test_a_compressed_body_is_refused() -> None:
    with pytest.raises(InvalidRequest) as raised:
        read([None], (b"content-encoding", b"gzip"))
    assert raised.value.status == 415
    assert read([part(b"x", more=False)], (b"content-encoding", b" Identity ")) == b"x"


def test_the_first_header_of_a_name_is_the_one() -> None:
    assert header({"headers": [(b"a", b"1"), (b"b", b"2"), (b"b", b"3")]}, b"b") == b"2"
    assert header({"headers": []}, b"b") is None
