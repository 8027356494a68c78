"""relay/ways.py: the express for what a lane has learnt, and none before that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from tests.fakes.downstream import Written
from tests.relay.streams import ROLE, chunk, sse, sse_lane
from tests.relay.test_express import Side, token
from tests.relay.test_rewrite import told
from tidegate.relay.coded_express import CodedExpress
from tidegate.relay.express import ANY, Express
from tidegate.relay.lane import NdjsonLane
from tidegate.relay.rewrite import RewriteLane
from tidegate.relay.rewrite_express import RewriteExpress
from tidegate.relay.template import NEVER
from tidegate.relay.timing import Timing
from tidegate.relay.ways import express_of
from tidegate.wire.gzip import Gzip


@dataclass
class Took:
    """What an intake has, and what the reader's side has."""

    lane: Any
    redact: None = None
    write_framed: Any = field(default_factory=lambda: [].append)
    direct: None = None
    coded: Any = None
    size: int = 0


def way(took: Took, known: Express | None = None, answer: Any = None, *, limited: bool = False) -> Express | None:
    side: Any = took
    told_of: list[Any] = []
    return express_of(
        known,
        Side(),
        side,
        cast(Any, answer),
        Timing(0.0),
        side,
        ndjson=False,
        max_event=1 << 20,
        limited=limited,
        ended=told_of.append,
        on_bug=told_of.append,
    )


def test_a_plain_lane_has_one_for_each_shape() -> None:
    answer, lane = sse_lane(ndjson=False)
    lane.feed(sse(ROLE) + token("The"))
    took = Took(lane)
    made = way(took, answer=answer)
    assert made is not None
    assert made.left == ANY
    assert made.template is lane.template is not NEVER
    assert way(took, made, answer) is made
    lane.feed(sse(chunk({"reasoning_content": "hm"})))
    other = way(took, made, answer)
    assert other is not made
    assert other is not None
    assert other.template is lane.template


def test_where_tokens_are_limited_none_passes_before_it_is_said_how_many() -> None:
    answer, lane = sse_lane(ndjson=False)
    lane.feed(sse(ROLE) + token("The"))
    made = way(Took(lane), answer=answer, limited=True)
    assert made is not None
    assert made.left == 0


def test_a_lane_of_a_compressed_body_has_one_that_codes_once_the_shape_is_known() -> None:
    answer, lane = sse_lane(ndjson=False)
    took = Took(lane, coded=(Gzip(), Written(framed=True)))
    before = way(took, answer=answer)
    assert before is not None
    assert not isinstance(before, CodedExpress), "nothing is known of it yet"
    lane.feed(sse(ROLE) + token("The"))
    made = way(took, before, answer)
    assert isinstance(made, CodedExpress)
    assert way(took, made, answer) is made


def test_there_is_none_where_reads_cannot_pass_as_they_are() -> None:
    """The server does its own framing, or the model server writes lines."""
    answer, lane = sse_lane(ndjson=False)
    assert way(Took(lane, write_framed=None), answer=answer) is None
    assert way(Took(NdjsonLane(answer, ndjson=False, max_event=1 << 20)), answer=answer) is None


def test_a_filtered_lane_has_one_when_it_knows_the_shape() -> None:
    answer = told()
    lane = RewriteLane(answer, ndjson=False, max_event=1 << 20)
    took = Took(lane)
    assert way(took, answer=answer) is None
    lane.feed(sse(ROLE))
    lane.feed(token("The"))
    made = way(took, answer=answer)
    assert isinstance(made, RewriteExpress)
    assert way(took, made, answer) is made
    lane.feed(sse(chunk({"reasoning_content": "hm"})))
    other = way(took, made, answer)
    assert isinstance(other, RewriteExpress)
    assert other is not made


def test_a_lane_whose_texts_are_not_filtered_has_none() -> None:
    """Its profile is for something else, such as the arguments of tools."""
    answer = told("arguments")
    lane = RewriteLane(answer, ndjson=False, max_event=1 << 20)
    lane.feed(sse(ROLE))
    lane.feed(token("The"))
    assert way(Took(lane), answer=answer) is None
