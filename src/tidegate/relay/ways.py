"""Which express takes the reads of a stream, once its lane has learnt what its events look like."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tidegate.relay.answer import Answer
from tidegate.relay.coded_express import CodedExpress
from tidegate.relay.downstream import Downstream
from tidegate.relay.express import DATA, Express, Incoming
from tidegate.relay.intake import Intake
from tidegate.relay.lane import SseLane
from tidegate.relay.output import Output
from tidegate.relay.rewrite import RewriteLane
from tidegate.relay.rewrite_express import RewriteExpress
from tidegate.relay.template import NEVER, Template
from tidegate.relay.timing import Timing
from tidegate.wire.gzip import Gzip

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
    template = lane.shape if isinstance(lane, RewriteLane) else lane.template
    if isinstance(lane, RewriteLane) and (lane.stream is None or template is NEVER):
        return known
    if known is not None and known.template is template:
        return known
    coded = _learnt(out.coded, template, ndjson=ndjson)
    make: Callable[..., Express]
    if isinstance(lane, RewriteLane):
        make = partial(RewriteExpress, into, lane, ended=ended, on_bug=on_bug, write=write, direct=out.direct)
    elif coded is not None:
        gzip, down = coded
        make = partial(CodedExpress, into, lane, gzip=gzip, down=down)
    else:
        make = partial(Express, into, lane, write=write, direct=out.direct)
    made = make(answer, timing, out, ndjson=ndjson, max_event=max_event, redact=intake.redact)
    if limited:
        made.left = 0  # until the allowance says more
    return made


def _learnt(
    coded: tuple[Gzip, Downstream] | None, template: Template, *, ndjson: bool
) -> tuple[Gzip, Downstream] | None:
    """Who compresses, when it has learnt what the reader's events look like from now on."""
    if coded is None:
        return None
    prefix, suffix = template
    around = (prefix[DATA:], suffix + b"\n") if ndjson else (prefix, suffix + b"\n\n")
    return coded if coded[0].learn(*around) else None
