"""What one reader gets: the head, what waits for the first token, coalesced writes, the last bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from math import ceil
from time import monotonic
from typing import Final

from tidegate.errors import TidegateError
from tidegate.relay.answer import Answer
from tidegate.relay.body import Head, Redactor
from tidegate.relay.coalesce import Coalescer
from tidegate.relay.downstream import Direct, Downstream
from tidegate.relay.endings import Framing, completion_json, end_marker, error_body, error_event, soft_stop
from tidegate.relay.headers import passed_on
from tidegate.relay.options import StreamOptions

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
        self.status = 0
        self.size = 0
        """Body bytes sent."""
        self.last = monotonic()
        """When the last of them were sent; tokens that went straight through do not count."""

    @property
    def immediate(self) -> bool:
        """What is written leaves at once."""
        return self._coalescer is None and self._framing is not Framing.JSON

    @property
    def write_framed(self) -> Callable[[bytes], None] | None:
        """Takes whole chunks of HTTP/1.1, past the counting; ``None`` where the downstream does its own framing."""
        return self._down.write_framed if self._down.framed else None

    @property
    def direct(self) -> Direct | None:
        """The reader's socket, past the counting and everything else."""
        return self._down.direct

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
        if self._coalescer is not None:
            self._coalescer.add(out, now)
        else:
            self.write(out)
        return True

    def release(self, out: bytes) -> None:
        """The first token: the head, everything that was held for it, and itself."""
        self.start(200)
        held, self._prelude = self._prelude or [], None
        held.append(out)
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

    def succeed(self, answer: Answer, last: bytes) -> None:
        """The answer is whole.

        :param last: what of it has not been sent.
        """
        if self._framing is Framing.JSON:
            self._reply(200, completion_json(answer))
        else:
            self.finish(last + end_marker(self._framing))

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
