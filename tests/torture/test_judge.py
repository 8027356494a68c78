"""torture/judge.py: what a client got is called by its name."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tidegate.torture.cases import Outcome
from tidegate.torture.judge import Choices, Ending, Observed, choices_of, judged

TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":"tide"}}]}\n\n'
OTHER = b'data: {"choices":[{"index":0,"delta":{"content":"ebb"}}]}\n\n'
EMPTY = b'data: {"choices":[{"index":0,"delta":{}}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
ERROR = b'data: {"error":{"message":"on fire"}}\n\n'
NAMED = b'event: error\ndata: {"message":"on fire"}\n\n'
BROKEN = b'data: {"cho\n\n'
DONE = b"data: [DONE]\n\n"
WANTED: Choices = choices_of(TOKEN * 2 + FINISH)
SSE = {"content-type": "text/event-stream"}


def got(body: bytes, ending: Ending = "whole", status: int = 200, **headers: str) -> Observed:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Observed(status, {**SSE, **named}, body, ending)


@pytest.mark.parametrize(
    ("observed", "outcome"),
    [
        (got(TOKEN * 2 + FINISH + DONE), Outcome.ANSWER),
        (got(TOKEN * 2 + FINISH), Outcome.ANSWER),
        (got(TOKEN * 2 + FINISH, "cut"), Outcome.ANSWER),
        (got(TOKEN * 2 + FINISH, "quiet"), Outcome.ANSWER),
        (got(gzip.compress(TOKEN * 2 + FINISH), content_encoding="gzip"), Outcome.ANSWER),
        (got(TOKEN + BROKEN + TOKEN + FINISH + DONE), Outcome.VERBATIM),
        (got(TOKEN + FINISH + DONE), Outcome.PARTIAL),
        (got(TOKEN + OTHER + FINISH + DONE), Outcome.ALTERED),
        (got(TOKEN * 3 + FINISH + DONE), Outcome.ALTERED),
        (got(TOKEN + DONE), Outcome.FALSE_DONE),
        (got(TOKEN), Outcome.SILENT),
        (got(EMPTY), Outcome.EMPTY),
        (got(b""), Outcome.EMPTY),
        (got(b": ping\n\n"), Outcome.EMPTY),
        (got(b"", status=204), Outcome.EMPTY),
        (got(DONE), Outcome.FALSE_DONE),
        (got(b"<h1>It works!</h1>", content_type="text/html"), Outcome.NO_STREAM),
        (got(b'{"error":{"message":"on fire"}}', content_type="application/json"), Outcome.NO_STREAM),
        (got(b'{"choices":[]}', content_type="application/json"), Outcome.NO_STREAM),
        (got(TOKEN + ERROR), Outcome.ERROR_EVENT),
        (got(TOKEN + ERROR + DONE), Outcome.ERROR_EVENT),
        (got(TOKEN + NAMED), Outcome.ERROR_EVENT),
        (got(TOKEN + ERROR, "cut"), Outcome.ERROR_EVENT),
        (got(TOKEN, "cut"), Outcome.BROKEN),
        (got(b"", "not http", 0), Outcome.BROKEN),
        (got(b"", "cut", 0), Outcome.BROKEN),
        (got(b"zebra", content_encoding="gzip"), Outcome.BROKEN),
        (got(TOKEN, "quiet"), Outcome.HANG),
        (got(b"", "quiet", 0), Outcome.HANG),
        (got(b"{}", status=429), Outcome.ERROR_STATUS),
        (got(b"", status=307), Outcome.ERROR_STATUS),
    ],
)
def test_a_stream_is_called_by_its_name(observed: Observed, outcome: Outcome) -> None:
    assert judged(observed, WANTED)[0] is outcome


def whole(text: str, finish: str | None = "stop", **more: Any) -> bytes:
    return json.dumps(
        {"choices": [{"index": 0, "message": {"content": text}, "finish_reason": finish}], **more}
    ).encode()


@pytest.mark.parametrize(
    ("body", "ending", "outcome"),
    [
        (whole("tidetide"), "whole", Outcome.ANSWER),
        (whole("tide", None), "whole", Outcome.PARTIAL),
        (whole("other"), "whole", Outcome.ALTERED),
        (whole("tidetide")[:30], "whole", Outcome.NO_STREAM),
        (whole("tidetide")[:30], "cut", Outcome.BROKEN),
        (whole("tidetide")[:30], "quiet", Outcome.HANG),
        (b'{"error":{"message":"on fire"}}', "whole", Outcome.NO_STREAM),
    ],
)
def test_a_whole_answer_is_called_by_its_name(body: bytes, ending: Ending, outcome: Outcome) -> None:
    assert judged(got(body, ending), WANTED, stream=False)[0] is outcome


def test_a_key_that_came_along_is_worse_than_anything() -> None:
    for observed in (got(TOKEN * 2 + FINISH + b": sk-secret-1\n"), got(b"", status=401, x_debug="Bearer sk-secret-1")):
        assert judged(observed, WANTED, secret="sk-secret-1")[0] is Outcome.LEAK
        assert judged(observed, WANTED)[0] is not Outcome.LEAK


def test_nothing_behind_the_end_marker_counts() -> None:
    assert judged(got(TOKEN * 2 + FINISH + DONE + OTHER), WANTED)[0] is Outcome.ANSWER
