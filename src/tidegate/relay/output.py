"""What one reader gets: the head, what waits for the first token, coalesced writes, the last bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tidegate.errors import TidegateError
from tidegate.relay.answer import Answer
from tidegate.relay.body import Head, Redactor
from tidegate.relay.coalesce import Coalescer
from tidegate.relay.direct import Direct
from tidegate.relay.downstream import Downstream
from tidegate.relay.endings import (
    Framing,
    completion_json,
    end_marker,
    error_body,
    error_event,
    filtered,
    filtered_json,
    soft_stop,
    validation_event,
)
from tidegate.relay.headers import passed_on
from tidegate.relay.options import StreamOptions
from tidegate.wire.gzip import Gzip

if TYPE_CHECKING:
    from tidegate.relay.checks.watch import Watch

__all__ = ["Headers", "Output"]

MAX_PRELUDE: Final = 1024 * 1024
"""Bytes before the first token (roles, empty deltas) that are held so that a retry leaves no trace."""

Headers = Sequence[tuple[bytes, bytes]]

_STREAMING: Final = ((b"cache-control", b"no-cache, no-transform"), (b"x-accel-buffering", b"no"))


class Output:
    """Ours to the downstream. Nothing has been sent as long as ``status`` is 0.

    :param stream_id: told in the head.
    :param also: further headers of every head.
    """

    __slots__ = (
        "_also",
        "_coalescer",
        "_down",
        "_framing",
        "_head",
        "_id",
        "_prelude",
        "_prelude_size",
        "_redact",
        "last",
        "size",
        "status",
        "watch",
    )

    def __init__(
        self, down: Downstream, framing: Framing, stream_id: str, options: StreamOptions, also: Headers = ()
    ) -> None:
        self._down = down
        self._framing = framing
        self._id = stream_id
        self._also = also
        self._head: Head | None = None
        self._redact: Redactor | None = None
        self._prelude: list[bytes] | None = []
        self._prelude_size = 0
        self._coalescer: Coalescer | None = None
        if options.flush_interval > 0 and framing is not Framing.JSON:
            loop = asyncio.get_running_loop()
            self._coalescer = Coalescer(options.flush_interval, options.max_buffered_events, loop, self.write)
        self.watch: Watch | None = None
        """Everything of the answer passes its gate; ``None``: nothing is checked."""
        self.status = 0
        self.size = 0
        """Body bytes sent."""
        self.last = monotonic()
        """When the last of them were sent; tokens that went straight through do not count."""

    @property
    def immediate(self) -> bool:
        """What is written leaves at once."""
        held = self.watch is not None and self.watch.gated
        return self._coalescer is None and self._framing is not Framing.JSON and not held

    @property
    def write_framed(self) -> Callable[[bytes], None] | None:
        """Takes whole chunks of HTTP/1.1, past the counting; ``None`` where the downstream does its own framing."""
        return self._down.write_framed if self._down.framed else None

    @property
    def direct(self) -> Direct | None:
        """The reader's socket, past the counting and everything else."""
        return self._down.direct

    @property
    def coded(self) -> tuple[Gzip, Downstream] | None:
        """Who compresses, and what takes the coded bytes, past the counting and everything else."""
        return self._down.coded

    def begin(self) -> None:
        """A try begins: whatever the one before it left is forgotten."""
        self._head = self._redact = None
        self._prelude, self._prelude_size = [], 0

    def answered(self, head: Head, redact: Redactor | None) -> None:
        """Headers of this upstream head may be passed on."""
        self._head, self._redact = head, redact

    def start(self, status: int, extra: Headers = (), length: int | None = None) -> None:
        """Send the head, if it has not been sent."""
        if self.status:
            return
        self.status = status
        headers = [(b"x-stream-id", self._id.encode("ascii")), *self._also, *extra]
        if status == 200:
            headers += [(b"content-type", self._framing.content_type), *_STREAMING]
            if self._head is not None:
                headers += passed_on(self._head, self._redact)
        self._down.start(status, headers, length)

    def give(self, out: bytes, now: float) -> bool:
        """Hold it (before the first token), keep it for the next write, or write it. ``False``: too much is held."""
        if self._prelude is not None:
            self._prelude.append(out)
            self._prelude_size += len(out)
            return self._prelude_size <= MAX_PRELUDE
        self.pass_on(out if self.watch is None else self.watch.put(out), now)
        return True

    def pass_on(self, out: bytes, now: float) -> None:
        """Keep it for the next write, or write it."""
        if not out:
            return
        if self._coalescer is not None:
            self._coalescer.add(out, now)
        else:
            self.write(out)

    def release(self, out: bytes) -> None:
        """The first token: the head, everything that was held for it, and itself."""
        self.start(200)
        held, self._prelude = self._prelude or [], None
        held.append(out if self.watch is None else self.watch.put(out))
        if any(held):  # an empty chunk would be the body's end
            self.write(b"".join(held))

    def write(self, data: bytes) -> None:
        """Send body bytes now."""
        self._down.write(data)
        self.size += len(data)
        self.last = monotonic()

    def beat(self) -> None:
        """A sign of life, and the head if it has not been sent."""
        self.start(200)
        self.write(self._framing.heartbeat)

    def finish(self, data: bytes) -> None:
        """Whatever is held or kept, then ``data``, then the clean end of the body."""
        self.start(200)
        if self._prelude:
            data = b"".join(self._prelude) + data
        if self._coalescer is not None:
            data = self._coalescer.take() + data
        self.size += len(data)
        self._down.finish(data)

    def succeed(self, answer: Answer, last: bytes, verdict: dict[str, Any] | None = None) -> None:
        """The answer is whole.

        :param last: what of it has not been sent.
        :param verdict: on the whole answer, where the reader is told.
        """
        if self._framing is Framing.JSON:
            self._reply(200, completion_json(answer, verdict=verdict))
            return
        if verdict is not None:
            last += validation_event(answer, self._framing, verdict)
        self.finish(last + end_marker(self._framing))

    def filtered(self, answer: Answer, *, finished: set[int], usage_chunk: bool, model: str, created: int) -> None:
        """A classifier has ended the answer; see :func:`tidegate.relay.endings.filtered`."""
        if self._framing is Framing.JSON:
            self._reply(200, filtered_json(answer))
            return
        self.finish(
            filtered(answer, self._framing, finished=finished, usage_chunk=usage_chunk, model=model, created=created)
        )

    def soft_stop(self, answer: Answer, *, usage_chunk: bool, model: str, created: int) -> None:
        """The answer so far is kept; see :func:`tidegate.relay.endings.soft_stop`."""
        if self._framing is Framing.JSON:
            self._reply(200, completion_json(answer, soft_stopped=True))
        else:
            self.finish(soft_stop(answer, self._framing, usage_chunk=usage_chunk, model=model, created=created))

    def tell(self, error: TidegateError) -> None:
        """The last thing that the reader hears: an event where there is a head already, else a response of its own."""
        if self.status:
            self.finish(error_event(error, self._id, self._framing))
            return
        extra = [(b"content-type", b"application/json")]
        if error.retry_after is not None:
            extra.append((b"retry-after", b"%d" % max(1, ceil(error.retry_after))))
        self._reply(error.status, error_body(error, self._id), extra)

    def _reply(self, status: int, body: bytes, extra: Headers = ()) -> None:
        """One whole body of known length in place of a stream; what was held is not sent."""
        self._prelude = None
        self.close()
        self._coalescer = None
        self.start(status, extra, len(body))
        self.finish(body)

    def abort(self) -> None:
        """Close the connection without an ending."""
        self._down.abort()

    def close(self) -> None:
        """No timer is left."""
        if self._coalescer is not None:
            self._coalescer.close()
