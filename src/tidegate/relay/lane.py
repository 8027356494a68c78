"""PURE. The verbatim lane: upstream bytes in, reader bytes out, without decoding what need not be decoded.

An event leaves whole or not at all: the unfinished tail of a read waits, so that an error event can always follow on
an event border. Comments of the upstream are dropped (ours keep the connection alive), ``[DONE]`` is withheld until
the whole answer has proved complete, and an upstream that frames its events in a way that not every SDK can read
(CRLF, CR, a byte-order mark) leaves in the plain form.

Cost is linear in the bytes fed, however they are cut. (``find`` and not ``in``: for bytes that makes and drops an
exception each time, because a number could be meant.)
"""

from __future__ import annotations

from typing import Final, Protocol

from tidegate.errors import EventTooLarge
from tidegate.events import Failed
from tidegate.relay.answer import Answer
from tidegate.relay.template import NEVER, PLAIN, Template, learn
from tidegate.wire.ndjson import NdjsonDecoder, encode_record
from tidegate.wire.openai_chat import error_of
from tidegate.wire.replay import EventIds
from tidegate.wire.sse import SseDecoder, SseEvent, encode_sse

__all__ = ["Lane", "NdjsonLane", "Redact", "SseLane", "is_utf8"]

_BOM: Final = b"\xef\xbb\xbf"
_LEARN: Final = 8
"""Templates tried before giving up; every 64 events that a template recognised earn another try."""

_plain = PLAIN.fullmatch


class Redact(Protocol):
    """Removes the upstream's secrets."""

    @property
    def shortest(self) -> int:
        """Bytes of the shortest of them; 0 when one of them could stand across the border of a JSON string."""

    def found(self, data: bytes) -> bool: ...

    def redact_bytes(self, data: bytes) -> bytes: ...


class Lane(Protocol):
    """One answer's bytes, in the framing of the upstream, to the framing of the reader."""

    def feed(self, data: bytes) -> bytes:
        """The bytes to write now: of whole events only. The very ``data`` when it passes as it came."""

    @property
    def pending(self) -> int:
        """Bytes of an event that has begun and not ended."""


class SseLane:
    """From an event stream.

    :param answer: told of every event.
    :param ndjson: the reader wants lines of JSON, not events.
    :param redact: looked at for every event; ``None`` when there is no secret.
    :param fast: may learn templates. Off when every chunk has to be decoded anyway.
    """

    __slots__ = (
        "_answer",
        "_block_suffix",
        "_decoder",
        "_fragments",
        "_generic",
        "_ids",
        "_max",
        "_ndjson",
        "_newline",
        "_prefix",
        "_redact",
        "_started",
        "_suffix",
        "_tries",
        "_watch",
        "held",
        "hits",
        "offset",
        "template",
    )

    def __init__(
        self, answer: Answer, *, ndjson: bool, max_event: int, redact: Redact | None = None, fast: bool = True
    ) -> None:
        self._answer = answer
        self._ndjson = ndjson
        self._max = max_event
        self._redact = redact
        self._watch: Redact | None = None
        self._tries = _LEARN if fast else 0
        self.hits = 0
        """Events that the template recognised since it was learnt."""
        self._set(NEVER)
        # The unfinished event in pieces, and whether its last byte is a line end.
        self._fragments: list[bytes] = []
        self.held = 0
        """Bytes of it."""
        self._newline = False
        self._started = False
        # Events with fields other than `data` go through a decoder; once a CR or a BOM was seen, everything does.
        self._decoder: SseDecoder | None = None
        self._generic = False
        self._ids: EventIds | None = None
        self.offset = 0
        """Bytes of the body so far."""

    @property
    def pending(self) -> int:
        return self.held + (self._decoder.pending if self._generic and self._decoder is not None else 0)

    def feed(self, data: bytes) -> bytes:
        # The token path: one read, one event, of the shape that is known.
        if (
            data.startswith(self._prefix)
            and data.endswith(self._suffix)
            and not self.held
            and _plain(data, len(self._prefix), len(data) - len(self._suffix)) is not None
            and (data.isascii() or is_utf8(data))
            and (self._redact is None or not self._redact.found(data))
            and len(data) <= self._max
        ):
            self._answer.tokens += 1
            self.hits += 1
            self.offset += len(data)
            return data[6:-1] if self._ndjson else data
        return self._feed(data)

    def _feed(self, data: bytes) -> bytes:
        if self._generic or data.find(b"\r") >= 0 or (not self._started and self._may_be_bom(data)):
            return self._feed_generic(data)
        self._started = True
        size = len(data)
        if self.held:
            border = data.find(b"\n\n") >= 0 or (self._newline and data[:1] == b"\n")
            if not border:
                self._hold(data)
                return b""
            self._fragments.append(data)
            data = b"".join(self._fragments)
            self._fragments.clear()
            self.held = 0
        cut = data.rfind(b"\n\n")
        if cut < 0:
            self._hold(data)
            return b""
        if cut + 2 < len(data):
            self._hold(data[cut + 2 :])
        base = self.offset
        self.offset += size
        return self._whole(data, cut, base)

    def _whole(self, data: bytes, cut: int, offset: int) -> bytes:
        """Events up to ``cut``, where the last of them ends."""
        passed: list[bytes] = []
        verbatim = True
        # Asked once for all of them; only where there is a secret, each is looked at.
        redact = self._redact
        self._watch = redact if redact is not None and redact.found(data) else None
        for block in data[:cut].split(b"\n\n"):
            out = self._block(block, offset)
            offset += len(block) + 2
            if out is not block:
                verbatim = False
            if out:
                passed.append(out)
        if not passed:
            return b""
        if self._ndjson:
            passed.append(b"")
            return b"\n".join(passed)
        if verbatim:
            return data if cut + 2 == len(data) else data[: cut + 2]
        passed.append(b"")
        return b"\n\n".join(passed)

    def _block(self, block: bytes, offset: int) -> bytes:
        """What one event (without its blank line) becomes, without a line end; ``b""`` for nothing."""
        answer = self._answer
        if (
            block.startswith(self._prefix)
            and block.endswith(self._block_suffix)
            and _plain(block, len(self._prefix), len(block) - len(self._block_suffix)) is not None
            and (block.isascii() or is_utf8(block))
            and (self._watch is None or not self._watch.found(block))
            and answer.error is None
            and not answer.done
        ):
            answer.tokens += 1
            self.hits += 1
            return block[6:] if self._ndjson else block
        if len(block) > self._max:
            answer.end(EventTooLarge(f"The upstream sent an event of more than {self._max} bytes."))
            return b""
        if block[:5] != b"data:" or block.find(b"\n") >= 0:
            return self._odd(block, offset)
        at = 6 if block[5:6] == b" " else 5
        payload = block[at:]
        if self._watch is not None and self._watch.found(payload):
            payload = self._watch.redact_bytes(payload)
            out = answer.look(payload, offset) or b""
            return out if self._ndjson or not out else b"data: " + out
        passed = answer.look(payload, offset)
        if not passed:
            return b""
        if self._tries and passed is payload and answer.chunk is not None and answer.latest == 1 and at == 6:
            self._learn(block)
        if self._ndjson:
            return passed
        return block if passed is payload else b"data: " + passed

    def _learn(self, block: bytes) -> None:
        assert self._answer.chunk is not None
        template = learn(block, 6, self._answer.chunk)
        if template is None:
            return
        self._tries = min(_LEARN, self._tries + self.hits // 64) - 1
        self.hits = 0
        self._set(template)

    def _set(self, template: Template) -> None:
        self.template = template
        self._prefix = template.prefix
        self._block_suffix = template.suffix
        self._suffix = template.suffix + b"\n\n"

    def _hold(self, data: bytes) -> None:
        self._fragments.append(data)
        self.held += len(data)
        self._newline = data[-1:] == b"\n"
        if self.held > self._max + 1:  # a line end of its blank line may be there already
            self._fragments.clear()
            self._answer.end(EventTooLarge(f"The upstream sent an event of more than {self._max} bytes."))

    def _odd(self, block: bytes, offset: int) -> bytes:
        """An event with other fields, several data lines or comments; or stray line ends."""
        out = b"".join(self._event(event, offset) for event in self._decoded(block + b"\n\n"))
        # Without the line end, as `_block` returns it.
        return out[:-1] if self._ndjson else out[:-2]

    def _feed_generic(self, data: bytes) -> bytes:
        self._generic = True
        if self._fragments:
            self._fragments.append(data)
            data = b"".join(self._fragments)
            self._fragments.clear()
        self.held = 0
        self._set(NEVER)
        self._tries = 0
        base = self.offset
        self.offset += len(data)
        out = b"".join(self._event(event, base) for event in self._decoded(data))
        self._overflown()
        return out

    def _decoded(self, data: bytes) -> list[SseEvent]:
        if self._decoder is None:
            self._decoder = SseDecoder(max_event=self._max)
        try:
            return self._decoder.feed(data)
        except EventTooLarge as error:
            self._answer.end(error)
            return []

    def _overflown(self) -> None:
        """The decoder hands out the events before one that is too large, and owes the error."""
        assert self._decoder is not None
        try:
            self._decoder.close()
        except EventTooLarge as error:
            self._answer.end(error)

    def _event(self, event: SseEvent, offset: int) -> bytes:
        payload = event.data
        if self._redact is not None and self._redact.found(payload):
            payload = self._redact.redact_bytes(payload)
        if event.event == "error":
            if not self._answer.done:
                self._answer.fail(error_of(payload) or Failed("The upstream reported an error."))
            return b""
        if event.id is not None and self._repeated(event.id, payload):
            return b""
        passed = self._answer.look(payload, offset)
        if not passed:
            return b""
        if self._ndjson:
            return encode_record(passed)
        return encode_sse(passed, event=event.event, id=event.id)

    def _repeated(self, event_id: str, payload: bytes) -> bool:
        if self._ids is None:
            self._ids = EventIds()
        return self._ids.repeated(event_id, payload)

    def _may_be_bom(self, data: bytes) -> bool:
        return data[:1] == _BOM[:1]


class NdjsonLane:
    """From lines of JSON: some servers that call themselves compatible stream them."""

    __slots__ = ("_answer", "_decoder", "_ndjson", "_offset", "_redact")

    def __init__(self, answer: Answer, *, ndjson: bool, max_event: int, redact: Redact | None = None) -> None:
        self._answer = answer
        self._ndjson = ndjson
        self._redact = redact
        self._decoder = NdjsonDecoder(max_record=max_event)
        self._offset = 0

    @property
    def pending(self) -> int:
        return self._decoder.pending

    def feed(self, data: bytes) -> bytes:
        return self._pass(self._decoder.feed, data)

    def close(self) -> bytes:
        """The body has ended: a last line needs no line end."""
        return self._pass(lambda _: self._decoder.close(), b"")

    def _pass(self, decode: _Decode, data: bytes) -> bytes:
        base = self._offset
        self._offset += len(data)
        out = []
        try:
            for record in decode(data):
                if self._redact is not None and self._redact.found(record):
                    record = self._redact.redact_bytes(record)
                passed = self._answer.look(record, base)
                if passed:
                    out.append(encode_record(passed) if self._ndjson else encode_sse(passed))
        except EventTooLarge as error:
            self._answer.end(error)
        return b"".join(out)


class _Decode(Protocol):
    def __call__(self, data: bytes, /) -> list[bytes]: ...


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
