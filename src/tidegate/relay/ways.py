"""Which express takes the reads of a stream, once its lane has learnt what its events look like."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tidegate.relay.answer import Answer
from tidegate.relay.express import Express, Incoming
from tidegate.relay.intake import Intake
from tidegate.relay.lane import SseLane
from tidegate.relay.output import Output
from tidegate.relay.rewrite import RewriteLane
from tidegate.relay.rewrite_express import RewriteExpress
from tidegate.relay.template import NEVER
from tidegate.relay.timing import Timing

__all__ = ["express_of"]


def express_of(
    known: Express | None,
    into: Incoming,
    intake: Intake,
    answer: Answer,
    timing: Timing,
    out: Output,
    *,
    ndjson: bool,
    max_event: int,
    limited: bool,
    ended: Callable[[bytes], None],
    on_bug: Callable[[BaseException], None],
) -> Express | None:
    """The express for the shape of this moment: the one that is ``known``, a new one, or none.

    :param limited: the stream may not have any number of tokens.
    :param ended: told the last bytes when a rule of a filter has ended a choice.
    :param on_bug: told what a filter raised.
    """
    lane, write = intake.lane, out.write_framed
    if write is None or not isinstance(lane, SseLane):
        return known
    make: Callable[..., Express]
    if isinstance(lane, RewriteLane):
        if lane.stream is None or lane.shape is NEVER:
            return known
        template = lane.shape
        make = partial(RewriteExpress, into, lane, ended=ended, on_bug=on_bug)
    else:
        template = lane.template
        make = partial(Express, into, lane)
    if known is not None and known.template is template:
        return known
    made = make(
        answer,
        timing,
        out,
        ndjson=ndjson,
        max_event=max_event,
        redact=intake.redact,
        write=write,
        direct=out.direct,
    )
    if limited:
        made.left = 0  # until the allowance says more
    return made
