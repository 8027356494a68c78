"""Sizes on the wire that say nothing of token lengths.

Encryption hides what is said and not how long it is: from the sizes of a stream's packets, answers have been guessed
(Weiss et al., "What Was Your Prompt? A Remote Keylogging Attack on AI Assistants", 2024). So every write is filled up
to a multiple of one size, which a stream keeps: with OpenAI's field ``obfuscation`` in a chat chunk, with a comment in
other events, with spaces behind a line of JSON. A compressed body is filled up behind the compressor, with blocks that
hold nothing: before it, what is compressed would still be longer for a longer token.
"""

from __future__ import annotations

import os
import zlib
from base64 import b64encode
from collections.abc import Sequence
from typing import Final

from tidegate.policy.keys import Principal
from tidegate.relay.direct import Direct
from tidegate.relay.downstream import Downstream, Reader
from tidegate.relay.options import StreamOptions
from tidegate.server.coding import GZIP
from tidegate.server.compression import Compressed, MakeCoder, unframed
from tidegate.wire.gzip import LEVEL, MEMORY, WINDOW, Gzip

__all__ = ["Padded", "PaddedGzip", "Quantum", "hidden", "wrapped"]

Headers = Sequence[tuple[bytes, bytes]]

ROOM: Final = 128
"""Bytes that a text may be longer than the first one without another size."""

STEP: Final = 128

_FIELD: Final = b',"obfuscation":"'
_KNOWN: Final = b'"obfuscation":'
_FIELD_SIZE: Final = len(_FIELD) + 1
_COMMENT_SIZE: Final = len(b": \n")

# Deflate blocks that hold nothing (RFC 1951 §3.2), from one whole byte to another.
_FIVE: Final = b"\0\0\0\xff\xff"
_SIX: Final = b"\x02\0\0\0\xff\xff"
_LEAST: Final = 20
"""Every number from here on is a sum of fives and sixes."""


class Quantum:
    """The size that a stream's writes are multiples of. It grows when it must, which few streams do after their first
    event, and never shrinks. That it grows is to be seen, so it grows to twice as much at least.
    """

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0

    def fit(self, one: int, whole: int) -> int:
        """What a write of ``whole`` bytes, whose longest event has ``one``, is filled up to."""
        if one > self.size:
            self.size = max(-(-(one + ROOM) // STEP) * STEP, 2 * self.size)
        return -(-whole // self.size) * self.size


class Padded:
    """A :class:`tidegate.relay.downstream.Downstream` before another one, for a body that is not compressed.

    :param field: events are chat chunks, which have a field for it.
    """

    __slots__ = ("_down", "_field", "_lines", "_on", "_quantum", "direct", "framed")

    coded: None = None

    def __init__(self, down: Downstream, *, field: bool) -> None:
        self._down = down
        self._field = field
        self._quantum = Quantum()
        self._on = self._lines = False
        self.framed = True
        self.direct: Direct | None = None

    def bind(self, reader: Reader) -> None:
        self._down.bind(reader)

    def start(self, status: int, headers: Headers, length: int | None = None) -> None:
        kind = next((value for name, value in headers if name == b"content-type"), b"")
        self._lines = kind.startswith(b"application/x-ndjson")
        self._on = length is None and (self._lines or kind.startswith(b"text/event-stream"))
        if not self._on:
            self.framed, self.direct = self._down.framed, self._down.direct
        self._down.start(status, headers, length)

    def write(self, data: bytes) -> None:
        self._down.write(self._filled(data) if self._on else data)

    def write_framed(self, framed: bytes) -> None:
        if self._on:
            self._down.write(self._filled(unframed(framed)))
        else:
            self._down.write_framed(framed)

    def finish(self, data: bytes = b"") -> None:
        self._down.finish(self._filled(data) if self._on and data else data)

    def abort(self) -> None:
        self._down.abort()

    def _filled(self, data: bytes) -> bytes:
        if self._lines:
            return self._spaced(data)
        events = data.split(b"\n\n")
        place = next((place for place in reversed(range(len(events))) if events[place].find(b"data: {") >= 0), -1)
        if place < 0:
            return data  # a heartbeat, an end marker: always the same
        event = events[place]
        as_field = self._field and event[:7] == b"data: {" and event[-1:] == b"}" and event.find(_KNOWN) < 0
        least = _FIELD_SIZE if as_field else _COMMENT_SIZE
        longest = max(map(len, events)) + 2
        noise = _noise(self._quantum.fit(longest + least, len(data) + least) - len(data) - least)
        events[place] = event[:-1] + _FIELD + noise + b'"}' if as_field else b": " + noise + b"\n" + event
        return b"\n\n".join(events)

    def _spaced(self, data: bytes) -> bytes:
        if data[-2:] != b"}\n":
            return data
        longest = max(map(len, data.split(b"\n"))) + 1
        return data[:-1] + b" " * (self._quantum.fit(longest, len(data)) - len(data)) + b"\n"


class PaddedGzip:
    """gzip of which every write has a size of the stream's."""

    __slots__ = ("_begun", "_coder", "_quantum")

    name: Final = Gzip.name

    def __init__(self) -> None:
        self._coder = zlib.compressobj(LEVEL, zlib.DEFLATED, WINDOW + GZIP, MEMORY)
        self._quantum = Quantum()
        self._begun = False

    def write(self, data: bytes) -> bytes:
        # A sync flush, since what follows it begins on a whole byte.
        coded = self._coder.compress(data) + self._coder.flush(zlib.Z_SYNC_FLUSH)
        size = len(coded) + _LEAST
        if self._begun:
            gap = self._quantum.fit(size, size) - len(coded)
        else:  # nothing has been seen yet that could repeat: it does not tell how long the others are
            self._begun = True
            gap = -(-size // (2 * STEP)) * 2 * STEP - len(coded)
        sixes = gap % 5
        return coded + _SIX * sixes + _FIVE * ((gap - 6 * sixes) // 5)

    def finish(self, data: bytes) -> bytes:
        return (self.write(data) if data else b"") + self._coder.flush()


def hidden(asked: bool | None, who: Principal, options: StreamOptions) -> bool:
    """Whether a stream's sizes are hidden: what the request says counts, else its key or the configuration."""
    return asked if asked is not None else who.obfuscation or options.obfuscation


def wrapped(down: Downstream, coder: MakeCoder | None, *, hide: bool, field: bool) -> Downstream:
    """What a stream writes to: ``down``, behind what compresses and fills up.

    :param coder: ``gzip`` or none where sizes are hidden: zstd has no room for nothing.
    """
    if hide and coder is not None:
        return Compressed(down, PaddedGzip)
    if hide:
        return Padded(down, field=field)
    return down if coder is None else Compressed(down, coder)


def _noise(size: int) -> bytes:
    """Printable, and of no use to a compressor on the way."""
    return b64encode(os.urandom(size * 3 // 4 + 3))[:size]
