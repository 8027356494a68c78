"""Server-sent events, both ways, after the WHATWG event-stream grammar (HTML Living Standard, §9.2).

The decoder is sans-IO: push bytes as the socket gave them, take the events that they completed. Where the bytes were
cut never shows: not inside a character, a CRLF, the byte-order mark or a field name.

Cost is linear in the bytes fed. What is unfinished is kept as a list of fragments and joined once, when its line ends;
``prefix + chunk`` per feed would make one large ``data:`` line that comes in small pieces quadratic.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tidegate.errors import EventTooLarge

__all__ = ["DONE", "HEARTBEAT_SSE", "MAX_EVENT", "SseDecoder", "SseEvent", "encode_sse"]

MAX_EVENT: Final = 8 * 1024 * 1024
"""Real events reach 2 MiB (images and files as base64); a stream that never ends a line must not fill memory."""

HEARTBEAT_SSE: Final = b":\n"
"""A comment line without a blank line after it: some SDK versions crash on an event that is only a comment."""

DONE: Final = b"data: [DONE]\n\n"
"""The end marker of OpenAI's dialects."""

_BOM: Final = b"\xef\xbb\xbf"

_MAX_RETRY_DIGITS: Final = 15
"""More milliseconds than any clock has; ``int()`` raises on thousands of digits."""


class SseEvent(msgspec.Struct, frozen=True, gc=False):
    """One dispatched event.

    ``data`` is its data lines joined with ``\\n``, as bytes: the grammar says UTF-8, but nobody has checked.
    ``id`` and ``retry`` are those that this event carried, ``None`` when it carried none.
    """

    data: bytes
    event: str = ""
    id: str | None = None
    retry: int | None = None


class SseDecoder:
    """Bytes in, events out.

    :param max_event: the most bytes that one event, or one line of any kind, may have.
    """

    __slots__ = (
        "_clean",
        "_data",
        "_event",
        "_fragments",
        "_held",
        "_id",
        "_last_id",
        "_max",
        "_overflown",
        "_retry",
        "_skip_lf",
        "_start",
        "_tail",
        "comments",
        "last_event_id",
    )

    def __init__(self, *, max_event: int = MAX_EVENT) -> None:
        self.comments = 0
        """Comment lines seen."""
        self.last_event_id = ""
        """What a browser would send as ``Last-Event-ID`` after a reconnect."""
        self._max = max_event
        # True between two events with nothing held: the next feed may take the quick path.
        self._clean = False
        # The first bytes while they may still become a byte-order mark; None once that is decided.
        self._start: bytes | None = b""
        # A CR ended the last feed: its line is over, and an LF at the start of the next one belongs to it.
        self._skip_lf = False
        self._overflown = False
        # The unfinished line, in pieces, and its size.
        self._fragments: list[bytes] = []
        self._tail = 0
        # The unfinished event: its data lines, other fields, and the bytes of the lines that they came in.
        self._data: list[bytes] = []
        self._event = ""
        self._id: str | None = None
        self._retry: int | None = None
        self._held = 0
        # Unlike `_id` it outlives its event (the grammar's "last event ID buffer").
        self._last_id = ""

    @property
    def pending(self) -> int:
        """Bytes of an event that has begun and not ended. Not 0 at the end of a body: its last event was cut."""
        return self._held + self._tail + len(self._start or b"")

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that ``data`` completes, in order.

        :raises EventTooLarge: an event is over the limit. Events completed before it are returned first and the
            error is raised by the next call; the decoder is of no use afterwards.
        """
        # The quick path: nearly every read of a real stream is whole events with LF and one data line each.
        if self._clean and data[-2:] == b"\n\n" and b"\r" not in data:
            return self._feed_whole(data)
        events: list[SseEvent] = []
        self._checked(events)
        if self._start is not None:
            data = self._after_bom(data)
        if data:
            self._feed_pieces(data, events)
            self._clean = not (self._held or self._tail or self._skip_lf or self._overflown or self._start is not None)
        return self._checked(events)

    def payloads(self, data: bytes) -> list[bytes] | None:
        """The data of each event in ``data``, where they are whole, have one data line each and nothing else, as
        nearly every read of a real stream; ``None`` when not, and then :meth:`feed` has to be asked.
        """
        if not self._clean or data[:6] != b"data: " or data[-2:] != b"\n\n" or len(data) > self._max or b"\r" in data:
            return None
        found = data[6:-2].split(b"\n\ndata: ")
        # A line end that is left stands before a field, a comment or a further data line.
        return found if data.count(b"\n") == 2 * len(found) else None

    def close(self) -> list[SseEvent]:
        """The body has ended. An unfinished event is not an event (the grammar discards it), so nothing comes.

        :raises EventTooLarge: when the last :meth:`feed` still owes it.
        """
        return self._checked([])

    def _feed_whole(self, data: bytes) -> list[SseEvent]:
        events: list[SseEvent] = []
        for block in data[:-2].split(b"\n\n"):
            if block[:6] == b"data: " and b"\n" not in block and len(block) <= self._max:
                events.append(SseEvent(block[6:]))
            else:
                self._lines(block.split(b"\n"), events)
                if self._overflown:
                    self._clean = False
                    break
                self._dispatch(events)
        return self._checked(events)

    def _feed_pieces(self, data: bytes, events: list[SseEvent]) -> None:
        if self._skip_lf:
            self._skip_lf = False
            if data[:1] == b"\n":
                data = data[1:]
        if b"\r" in data:
            self._skip_lf = data[-1:] == b"\r"
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        cut = data.rfind(b"\n")
        if cut >= 0:
            whole = data[:cut]
            if self._fragments:
                self._fragments.append(whole)
                whole = b"".join(self._fragments)
                self._fragments.clear()
                self._tail = 0
            self._lines(whole.split(b"\n"), events)
            data = data[cut + 1 :]
        if data and not self._overflown:
            self._fragments.append(data)
            self._tail += len(data)
            if self._held + self._tail > self._max:
                self._overflow()

    def _after_bom(self, data: bytes) -> bytes:
        """``data`` without the byte-order mark, or nothing while that is not decided. At most three calls matter."""
        start = (self._start or b"") + data
        if len(start) < len(_BOM) and _BOM.startswith(start):
            self._start = start
            return b""
        self._start = None
        return start[len(_BOM) :] if start.startswith(_BOM) else start

    def _lines(self, lines: list[bytes], events: list[SseEvent]) -> None:
        for line in lines:
            if not line:
                self._dispatch(events)
                continue
            if self._held + len(line) > self._max:
                self._overflow()
                return
            name, _, value = line.partition(b":")
            if value[:1] == b" ":
                value = value[1:]
            if name == b"data":
                self._data.append(value)
            elif not name:
                self.comments += 1
                continue
            elif name == b"event":
                self._event = value.decode("utf-8", "replace")
            elif name == b"id":
                if b"\0" not in value:
                    self._id = self._last_id = value.decode("utf-8", "replace")
            elif name == b"retry":
                # bytes.isdigit is ASCII only, as the grammar wants.
                if value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
                    self._retry = int(value)
            else:
                continue
            self._held += len(line) + 1

    def _dispatch(self, events: list[SseEvent]) -> None:
        if not self._held:
            return
        self.last_event_id = self._last_id
        if self._data:
            events.append(SseEvent(b"\n".join(self._data), self._event, self._id, self._retry))
            self._data.clear()
        self._event = ""
        self._id = None
        self._retry = None
        self._held = 0

    def _overflow(self) -> None:
        self._overflown = True
        self._fragments.clear()
        self._data.clear()

    def _checked(self, events: list[SseEvent]) -> list[SseEvent]:
        if self._overflown and not events:
            raise EventTooLarge(f"The upstream sent an event of more than {self._max} bytes.")
        return events


def encode_sse(data: bytes | str, *, event: str = "", id: str | None = None) -> bytes:  # noqa: A002 # the field's name
    """One event, ready to send. Line ends inside ``data`` (LF, CRLF, CR) become data lines of their own.

    :raises ValueError: ``event`` or ``id`` holds a CR, LF or NUL, which the grammar cannot carry.
    """
    raw = data.encode() if isinstance(data, str) else data
    head = b""
    if event:
        head = b"event: " + _one_line("event", event) + b"\n"
    if id is not None:
        head += b"id: " + _one_line("id", id) + b"\n"
    if b"\n" in raw or b"\r" in raw:
        raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\ndata: ")
    return head + b"data: " + raw + b"\n\n"


def _one_line(name: str, value: str) -> bytes:
    if "\n" in value or "\r" in value or "\0" in value:
        raise ValueError(f"An SSE {name} must not contain CR, LF or NUL.")
    return value.encode()
