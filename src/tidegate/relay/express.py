"""The token path at its shortest: a read that is one whole chunk that is one event of the shape that is known.

Nearly every read of a stream is that. It is recognised as a whole, chunk framing and all, without being cut up first,
and leaves as it came (SSE) or with its few bytes of framing exchanged (NDJSON). Whatever is not exactly that is
declined and takes the usual way through the lane, which decides what it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Set
from functools import lru_cache
from time import monotonic
from typing import Final, Protocol

from tidegate.relay.answer import Answer
from tidegate.relay.direct import Direct
from tidegate.relay.lane import Redact, SseLane, is_utf8
from tidegate.relay.template import PLAIN, Template
from tidegate.relay.timing import Timing
from tidegate.upstream.exchange import Straight

__all__ = ["ANY", "CRLF", "DATA", "MAX_KNOWN", "MOST_KNOWN", "Express"]

DATA: Final = len(b"data: ")
CRLF: Final = len(b"\r\n")

_EVENT_FRAMING: Final = DATA + 1
"""Bytes that an event has more than a line of NDJSON."""

_MAX_HEADS: Final = 64
"""Lengths of reads that are remembered for one template: tokens have a few dozen lengths."""

_NO_SECRET: Final = 1 << 62
_NO_HEAD: Final = (b"", -1)

MAX_KNOWN: Final = 15
"""Bytes of a text that is remembered; nearly every token is shorter."""

MOST_KNOWN: Final = 8192
"""Texts that are remembered: a megabyte, at most."""

# Texts that were seen to be plain and valid, of all streams: answers are made of the same few thousand tokens, and to
# find one in a set costs a tenth of looking at its characters.
_KNOWN: Final[set[bytes]] = set()
_NONE: Final[frozenset[bytes]] = frozenset()

ANY: Final = 1 << 29
"""Tokens that may pass where there is no limit: more than a stream ever has, and small enough for the interpreter's
quickest comparison. Whatever came after them would take the usual way.
"""

_plain = PLAIN.fullmatch
_write = os.write


_NO_SOCKET: Final = Direct(-1, None)
"""Always ``behind``: nothing may be written past the server."""


class Incoming(Protocol):
    """Who counts what came."""

    bytes_in: int


class Outgoing(Protocol):
    """Who counts what left."""

    size: int


class Express(Straight):
    """Made anew for each template that the lane learns. What it passed on is counted with :meth:`settle`.

    What is not one known event, whole and alone, goes to the connection's usual way, untouched.

    :param ndjson: the reader wants lines.
    :param max_event: bytes of one event.
    :param redact: looked at for every event that is long enough to hold a secret.
    :param write: takes whole chunks (:meth:`tidegate.relay.downstream.Downstream.write_framed`).
    :param direct: the socket that they go to, where it may be written to at once.
    :param template: in place of the lane's own.
    """

    __slots__ = (
        "_after",
        "_answer",
        "_before",
        "_descriptor",
        "_direct",
        "_heads",
        "_into",
        "_known",
        "_lane",
        "_most",
        "_ndjson",
        "_out",
        "_redact",
        "_size",
        "_suffix",
        "_timing",
        "_tokens",
        "_transport",
        "_watch",
        "_write",
        "left",
        "template",
    )

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
        write: Callable[[bytes], None],
        direct: Direct | None = None,
        template: Template | None = None,
    ) -> None:
        self._into = into
        self._lane = lane
        self._answer = answer
        self._timing = timing
        self._out = out
        self._ndjson = ndjson
        self._most = max_event
        self._redact = redact
        self._write = write
        self._direct = direct or _NO_SOCKET
        self._descriptor = self._direct.descriptor
        self._transport = self._direct.transport
        self.template = lane.template if template is None else template
        self._suffix = self.template.suffix + b"\n\n\r\n"
        self._before = len(self.template.prefix)
        self._after = len(self._suffix)
        # Length of a read -> all that stands before its text, the chunk's size included, and the length of its text.
        self._heads: dict[int, tuple[bytes, int]] = {}
        # A text that is shorter than every secret holds none, and what stands around it has been looked at.
        self._watch = _NO_SECRET if redact is None else redact.shortest
        self._known: Set[bytes] = _KNOWN if self._watch > MAX_KNOWN else _NONE
        self._tokens = 0
        self._size = 0
        self.left = ANY
        """Tokens that may still pass before the usual way is taken, where somebody asks for more."""

    def data_received(self, data: bytes) -> None:
        length = len(data)
        head, size = self._heads.get(length) or self._head(data)
        text = data.removeprefix(head).removesuffix(self._suffix)
        tokens = self._tokens + 1
        if (
            len(text) != size
            or tokens > self.left
            or self._lane.held
            or not (text in self._known or self._passes(data, text))
        ):
            self.usual.data_received(data)
            return
        timing = self._timing
        now = monotonic()
        # Timing.on_tokens, without the call.
        if now - timing.last_token > timing.max_gap:
            timing.max_gap = now - timing.last_token
        timing.last_token = now
        self._tokens = tokens
        self._size += size
        if self._ndjson:
            line = data[len(head) - self._before + DATA : -CRLF - 1]
            data = b"%x\r\n%b\r\n" % (len(line), line)
            length = len(data)
        # What Direct.send does, without the call, which would be a twelfth of a token.
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
        if sent < length:
            self._direct.behind = True
            self._transport.write(data[sent:])

    def settle(self) -> None:
        """Count what has passed since the last time, for everybody who counts."""
        tokens, size = self._tokens, self._size
        if not tokens:
            return
        self._tokens = self._size = 0
        self.left -= tokens
        size += tokens * (self._before + self._after - CRLF)
        self._answer.tokens += tokens
        self._timing.tokens = self._answer.tokens
        self._lane.hits += tokens
        self._lane.offset += size
        self._into.bytes_in += size
        self._out.size += self._left(tokens, size)

    def _left(self, tokens: int, size: int) -> int:
        """Bytes of the reader's body that so many tokens were, of so many bytes of the upstream's."""
        return size - tokens * _EVENT_FRAMING if self._ndjson else size

    def _head(self, data: bytes) -> tuple[bytes, int]:
        """What a read of this length has before its text, in the way in which ``data`` writes its size, and how long
        its text is; :data:`_NO_HEAD` when there is no such chunk.
        """
        length = len(data)
        line = _line(length) if length <= self._most else b""
        if data[: len(line)].lower() == line:
            line = data[: len(line)]  # some servers write the digits in capitals
        size = length - len(line) - self._before - self._after
        known = (line + self.template.prefix, size) if line and size > 0 else _NO_HEAD
        if len(self._heads) < _MAX_HEADS:
            self._heads[length] = known
        return known

    def _passes(self, data: bytes, text: bytes) -> bool:
        """Whether a text that is not known stands for itself and holds no secret."""
        if _plain(text) is None or not (text.isascii() or is_utf8(text)):
            return False
        if len(text) >= self._watch and self._redact is not None and self._redact.found(data):
            return False
        if len(text) <= MAX_KNOWN and len(_KNOWN) < MOST_KNOWN:
            _KNOWN.add(text)
        return True


@lru_cache(1024)
def _line(length: int) -> bytes:
    """The chunk-size line of a chunk that is ``length`` bytes with its framing; empty when there is none."""
    for digits in range(1, 9):
        size = length - digits - 2 * CRLF
        if size > 0 and len(b"%x" % size) == digits:
            return b"%x\r\n" % size
    return b""
