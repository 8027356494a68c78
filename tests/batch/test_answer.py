"""batch/answer.py: a 200 is not yet an answer."""

from __future__ import annotations

import asyncio

import pytest

from tidegate.batch.answer import Whole, judged
from tidegate.errors import UpstreamCut, UpstreamProtocolError
from tidegate.upstream.exchange import ResponseHead

OK = ResponseHead(200, ((b"x-request-id", b"r-1"),))
GOOD = (
    b'{"model":"m","choices":[{"message":{"content":"x"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":5}}'
)


def test_a_whole_answer_is_good_and_its_tokens_are_counted() -> None:
    answer = judged(OK, GOOD)
    assert answer.error is None
    assert (answer.prompt_tokens, answer.output_tokens, answer.model, answer.request_id) == (3, 5, "m", "r-1")


def test_an_answer_without_choices_is_good_when_it_is_no_error() -> None:
    assert judged(OK, b'{"object":"list","data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":true}}').error is None


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, b"<h1>It works!</h1>", "not_json"),
        (200, b"[]", "not_json"),
        (200, GOOD[:40], "not_json"),
        (200, GOOD.replace(b'"stop"', b"null"), "no_finish_reason"),
        (200, b'{"choices":["x"]}', "no_finish_reason"),
        (200, b'{"error":{"message":"on fire"}}', "error_body"),
        (404, b'{"error":{"message":"none"}}', "http_404"),
        (500, b"oops", "http_500"),
    ],
)
def test_what_is_no_answer_is_a_failure(status: int, body: bytes, code: str) -> None:
    answer = judged(ResponseHead(status, ()), body)
    assert answer.error is not None
    assert answer.error[0] == code


def test_an_answer_is_collected_and_bounded() -> None:
    async def case() -> None:
        whole = Whole(5)
        whole.on_head(OK)
        whole.on_data(b"abc", None)
        whole.on_end()
        whole.on_lost(UpstreamCut("late"))
        assert await whole.result == (OK, b"abc")
        large = Whole(5)
        large.on_head(OK)
        large.on_data(b"abcdef", None)
        with pytest.raises(UpstreamProtocolError, match="larger than 5 bytes"):
            await large.result

    asyncio.run(case())
