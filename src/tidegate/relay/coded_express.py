"""The token path at its shortest to a reader who gets gzip: a read that is one token leaves as a few coded bytes.

As :class:`~tidegate.relay.express.Express`, but what surrounds a token is not written again: it stands in the reader's
window (:mod:`tidegate.wire.deflate`). What is not exactly that takes the usual way, to the same coder.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from typing import Final

from tidegate.relay.answer import Answer
from tidegate.relay.downstream import Downstream
from tidegate.relay.express import CRLF, MAX_KNOWN, MOST_KNOWN, Express, Incoming, Outgoing
from tidegate.relay.lane import Redact, SseLane
from tidegate.relay.timing import Timing
from tidegate.wire.deflate import MOST_TEXT, Literals, literals
from tidegate.wire.gzip import Gzip

__all__ = ["CodedExpress"]

# The literals of texts that were seen to be plain and valid, of all streams; as `express._KNOWN`.
_CODED: Final[dict[bytes, Literals]] = {}
_NONE: Final[dict[bytes, Literals]] = {}

_LONG: Final[Literals] = (0, 0)
"""Of a text that is left to the coder."""

_MOST_TEXTS: Final = 31
"""Texts less one that are counted at once: two kilobytes. One less than a power of two."""

_write = os.write


class CodedExpress(Express):
    """Same parameters as :class:`Express`, but for two.

    :param gzip: who codes, and has learnt the shape of the events.
    :param down: what takes the coded bytes.
    """

    __slots__ = ("_coded", "_gzip", "_say")

    def __init__(
        self,
        into: Incoming,
        lane: SseLane,
        answer: Answer,
        timing: Timing,
        out: Outgoing,
        *,
        ndjson: bool,
        max_event: int,
        redact: Redact | None,
        gzip: Gzip,
        down: Downstream,
    ) -> None:
        write = down.write_framed if down.framed else _opened(down.write)
        super().__init__(
            into, lane, answer, timing, out,
            ndjson=ndjson, max_event=max_event, redact=redact, write=write, direct=down.direct,
        )  # fmt: skip
        self._gzip = gzip
        self._coded = _CODED if self._watch > MAX_KNOWN else _NONE
        self._say = gzip.texts.append

    def data_received(self, data: bytes) -> None:
        """Pass one read on, coded."""
        head, size = self._heads.get(len(data)) or self._head(data)
        text = data.removeprefix(head).removesuffix(self._suffix)
        tokens = self._tokens + 1
        if len(text) != size or tokens > self.left or self._lane.held:
            self.usual.data_received(data)
            return
        known = self._coded.get(text) or self._literals(data, text)
        if known is None:
            self.usual.data_received(data)
            return
        timing = self._timing
        now = monotonic()
        if now - timing.last_token > timing.max_gap:
            timing.max_gap = now - timing.last_token
        timing.last_token = now
        self._tokens = tokens
        self._size += size
        gzip = self._gzip
        row = gzip.row
        key, bits = known
        if row is None or not key:
            data = gzip.say(text)
            data = b"%x\r\n%b\r\n" % (len(data), data)
        else:
            # What Gzip.write does, without the call.
            self._say(text)
            if not tokens & _MOST_TEXTS:
                gzip.settle()
            shift, around, length, gzip.row = row[key]
            data = (bits << shift | around).to_bytes(length, "little")
        if self._direct.behind or self._transport.is_closing():
            self._write(data)
            return
        try:
            sent = _write(self._descriptor, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._transport.abort()
            return
        if sent < len(data):
            self._direct.behind = True
            self._transport.write(data[sent:])

    def settle(self) -> None:
        super().settle()
        if self._gzip.texts:
            self._gzip.settle()

    def _literals(self, data: bytes, text: bytes) -> Literals | None:
        """Of a text that is not known; ``None`` when it may not pass."""
        if not self._passes(data, text):
            return None
        if len(text) > MOST_TEXT:
            return _LONG
        found = literals(text)
        if len(text) <= MAX_KNOWN and len(_CODED) < MOST_KNOWN and self._coded is _CODED:
            _CODED[text] = found
        return found


def _opened(write: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """For who frames by itself."""
    return lambda framed: write(framed[framed.index(b"\n") + 1 : -CRLF])
