"""The token path at its shortest through a filter: a read that is one whole chunk that is one token of the known shape.

As :class:`~tidegate.relay.express.Express`, but the token's text goes through its filter, and what the filter lets go
leaves in an event of the same shape. What is not exactly that takes the usual way through the lane, which holds the
same filter. A rule that ends the answer is told to whoever owns the stream.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from time import monotonic
from typing import Final

import msgspec

from tidegate.relay.answer import Answer
from tidegate.relay.direct import Direct
from tidegate.relay.express import CRLF, DATA, MAX_KNOWN, MOST_KNOWN, Express, Incoming, Outgoing
from tidegate.relay.lane import Redact
from tidegate.relay.rewrite import RewriteLane
from tidegate.relay.template import PLAIN
from tidegate.relay.timing import Timing
from tidegate.safety.json_text import escaped

__all__ = ["RewriteExpress"]

_MAX_LINES: Final = 64

# Tokens that were seen, as bytes and as text, of all streams. None has a digit: a memory must not collect numbers.
_SAID: Final[dict[bytes, str]] = {}
_WRITTEN: Final[dict[str, bytes]] = {}
_NOTHING: Final[dict[bytes, str]] = {}

_plain = PLAIN.fullmatch
_string = re.compile(rb'(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))+').fullmatch
_unescape = msgspec.json.Decoder(str).decode


class RewriteExpress(Express):
    """Same parameters as :class:`Express`.

    :param lane: which has learnt the shape of its events.
    :param ended: told the last bytes when a rule has ended the choice.
    :param on_bug: told what the filter raised.
    """

    __slots__ = ("_around", "_ended", "_filter", "_lines", "_on_bug", "_prefix", "_said", "_tail", "_told", "_written")

    def __init__(
        self,
        into: Incoming,
        lane: RewriteLane,
        answer: Answer,
        timing: Timing,
        out: Outgoing,
        *,
        ndjson: bool,
        max_event: int,
        redact: Redact | None,
        write: Callable[[bytes], None],
        direct: Direct | None = None,
        ended: Callable[[bytes], None],
        on_bug: Callable[[BaseException], None],
    ) -> None:
        super().__init__(
            into,
            lane,
            answer,
            timing,
            out,
            ndjson=ndjson,
            max_event=max_event,
            redact=redact,
            write=write,
            direct=direct,
            template=lane.shape,
        )
        self._told = lane
        assert lane.stream is not None
        self._filter = lane.stream
        self._ended = ended
        self._on_bug = on_bug
        self._said = _SAID if self._watch > MAX_KNOWN else _NOTHING
        self._prefix = self.template.prefix[DATA:] if ndjson else self.template.prefix
        self._tail = self.template.suffix + (b"\n\r\n" if ndjson else b"\n\n\r\n")
        # By the length of a text: the size of its chunk and all that stands before it.
        self._lines: dict[int, bytes] = {}
        self._around = len(self._prefix) + len(self._tail) - CRLF
        self._written = 0

    def data_received(self, data: bytes) -> None:
        """Pass one read on, as far as the filter lets it."""
        head, size = self._heads.get(len(data)) or self._head(data)
        text = data.removeprefix(head).removesuffix(self._suffix)
        tokens = self._tokens + 1
        if len(text) != size or tokens > self.left or self._lane.held or self._told.shape is not self.template:
            self.usual.data_received(data)
            return
        said = self._said.get(text) or self._decoded(data, text)
        stream = self._filter
        if not said or stream.closed:
            self.usual.data_received(data)
            return
        now = monotonic()
        timing = self._timing
        if now - timing.last_token > timing.max_gap:
            timing.max_gap = now - timing.last_token
        timing.last_token = now
        self._tokens = tokens
        self._size += size
        try:
            out = stream.feed(said)
        except Exception as error:
            self._on_bug(error)
            return
        if stream.blocked is not None:
            self._ended(self._told.blocked(out))
            return
        if not out:
            return
        raw = _WRITTEN.get(out) or _encoded(out)
        data = b"".join((self._lines.get(len(raw)) or self._line(len(raw)), raw, self._tail))
        self._written += len(raw) + self._around
        if self._direct.behind or self._transport.is_closing():
            self._write(data)
        else:
            self._direct.send(data)

    def _left(self, tokens: int, size: int) -> int:
        written, self._written = self._written, 0
        return written

    def _decoded(self, data: bytes, text: bytes) -> str:
        """What a text says that cannot end its JSON string early and holds no secret; else nothing."""
        if len(text) >= self._watch and self._redact is not None and self._redact.found(data):
            return ""
        try:
            if _plain(text) is not None:
                said = text.decode()
            elif _string(text) is not None:
                said = _unescape(b'"%b"' % text)
            else:
                return ""
        except (UnicodeDecodeError, msgspec.DecodeError):  # half a surrogate pair, among others
            return ""
        if len(text) <= MAX_KNOWN and len(_SAID) < MOST_KNOWN and not _has_digit(said):
            _SAID[text] = said
        return said

    def _line(self, size: int) -> bytes:
        line = b"%x\r\n%b" % (size + self._around, self._prefix)
        if len(self._lines) < _MAX_LINES:
            self._lines[size] = line
        return line


def _encoded(text: str) -> bytes:
    raw = escaped(text).encode()
    if len(raw) <= MAX_KNOWN and len(_WRITTEN) < MOST_KNOWN and not _has_digit(text):
        _WRITTEN[text] = raw
    return raw


def _has_digit(text: str) -> bool:
    return any(char.isdigit() for char in text)
