"""PURE. One stream of a client, without its I/O: time is an argument, bytes come in, pieces for the reader go out.

The driver (``client/stream.py``) opens a connection, says :meth:`StreamCore.began`, feeds what it reads, says how the
body ended, and takes the pieces. Whether the answer is complete, a cut, or worth another try is decided here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from tidegate.client.config import StreamConfig
from tidegate.client.failure import backoff, retryable
from tidegate.client.graphemes import Graphemes
from tidegate.client.reading import Reading
from tidegate.client.result import StreamResult
from tidegate.errors import Cancelled, StreamTruncated, TidegateError, UpstreamCut

__all__ = ["StreamCore", "request_body", "request_headers"]


def request_body(config: StreamConfig, messages: Any, model: str | None, fields: Mapping[str, Any]) -> bytes:
    """The JSON of a request. ``fields`` win over the configuration; one that is ``None`` is left out.

    :raises ValueError: something in it is not JSON.
    """
    body: dict[str, Any] = {
        "model": model or config.model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": None if "max_completion_tokens" in fields else config.max_tokens,
        "temperature": config.temperature,
        **fields,
    }
    try:
        return msgspec.json.encode({name: value for name, value in body.items() if value is not None})
    except TypeError as error:
        raise ValueError(f"The request is not JSON: {error}") from None


def request_headers(config: StreamConfig, *, ndjson: bool, version: str) -> dict[str, str]:
    """Everything but what HTTP itself needs."""
    framing = config.framing if config.framing != "auto" else "ndjson" if ndjson else "sse"
    headers = {
        "accept": "application/x-ndjson" if framing == "ndjson" else "text/event-stream",
        "content-type": "application/json",
        "user-agent": f"tidegate-python/{version}",
    }
    if config.api_key:
        headers["authorization"] = f"Bearer {config.api_key}"
    headers.update(config.headers)
    return headers


class StreamCore:
    """One stream, over all its attempts.

    :param raw: hand out events as they came, else text in whole graphemes.
    :param now: when it was asked for (seconds, monotonic).
    """

    def __init__(self, config: StreamConfig, model: str, *, raw: bool, now: float) -> None:
        self._config = config
        self._model = model
        self._raw = raw
        self._asked_at = now
        self._first_at: float | None = None
        self._last_at: float | None = None
        self._ended_at: float | None = None
        self._reading: Reading | None = None
        self._filter = config.incremental_filter() if config.incremental_filter is not None and not raw else None
        self._graphemes = Graphemes()
        self._ready: deque[Any] = deque()
        self._shown: list[str] = []
        self._reason: str | None = None
        self.stream_id: str | None = None
        self.is_gateway = False
        """A Tidegate gateway answers: it can be asked to stop."""
        self.retries = 0
        self.ended = False
        """Nothing more will be fed; what is ready can still be taken."""
        self.failure: TidegateError | None = None
        """Raised once what is ready was taken."""

    @property
    def began_to_speak(self) -> bool:
        """A token has come: from here on nothing is tried again."""
        return self._first_at is not None

    @property
    def attention(self) -> bool:
        """More than tokens came: look at :attr:`over` and :attr:`complete`."""
        return self._reading is not None and self._reading.attention

    @property
    def over(self) -> bool:
        """The answer needs no more of the body."""
        return self._reading is not None and self._reading.over

    @property
    def complete(self) -> bool:
        """All choices have finished. Usage or an error may still follow."""
        return self._reading is not None and self._reading.complete

    @property
    def text(self) -> str:
        """The answer so far, as the reader gets it: with what waits for its other half."""
        if self._raw:
            return self._reading.assembled.text if self._reading is not None else ""
        return "".join(self._shown) + self._graphemes.held

    def began(self, content_type: str, headers: Mapping[str, str]) -> None:
        """A response with status 200 has begun."""
        self._reading = Reading(content_type, raw=self._raw, max_event=self._config.max_event_bytes)
        self.stream_id = headers.get("x-stream-id") or None
        self.is_gateway = self.stream_id is not None

    def feed(self, data: bytes, now: float) -> None:
        """Bytes of the body."""
        reading = self._reading
        assert reading is not None
        before = reading.tokens
        reading.feed(data)
        if reading.tokens != before:
            self._last_at = now
            if self._first_at is None:
                self._first_at = now
        self._collect(reading)

    def finish(self, now: float, broken: TidegateError | None = None) -> None:
        """The body has ended, or no more of it is wanted.

        :param broken: why it ended before its time, if it did.
        """
        if self.ended:
            return
        reading = self._reading
        if reading is not None:
            before = reading.tokens
            reading.close()
            if reading.tokens != before:
                self._last_at = now
                self._first_at = self._first_at or now
            self._collect(reading)
            if reading.complete:
                self._end(now, str(reading.ours.get("reason") or self._finish_reason or "stop"))
                return
        cause = reading.error if reading is not None else None
        self.fail(cause or broken or UpstreamCut("The answer ended before it was complete."), now)

    def fail(self, error: TidegateError, now: float) -> None:
        """The stream has failed for good."""
        if self.ended:
            return
        if isinstance(error, Cancelled):
            self._ready.clear()
        self._end(now, error.code)
        if self.began_to_speak and not isinstance(error, Cancelled):
            cut = StreamTruncated(
                f"The stream ended before it was complete: {error.message}",
                text=self.text,
                stream_id=self.stream_id,
                code=error.code,
                status=error.status,
                retryable=error.retryable,
            )
            cut.__cause__ = error
            self.failure = cut
        else:
            self.failure = error

    def stop(self, now: float) -> None:
        """The reader has had enough and keeps what came."""
        if not self.ended:
            self._end(now, "soft_stop")

    def wait_before_retry(self, error: TidegateError, rand: float) -> float | None:
        """Seconds after which to try again; ``None`` when this error is the end."""
        config = self._config
        if self.began_to_speak or self.ended or self.retries >= config.retry_attempts:
            return None
        if not retryable(error, longest_wait=config.timeout):
            return None
        wait = backoff(self.retries, config.retry_delay, rand, error.retry_after)
        self.retries += 1
        self._reading = None
        self._ready.clear()
        return wait

    @property
    def failed_early(self) -> TidegateError | None:
        """The error of an answer that has failed before its first token."""
        return None if self._reading is None or self.began_to_speak else self._reading.error

    def take(self) -> Any:
        """The next piece (text or an event), ``None`` when there is none yet."""
        return self._ready.popleft() if self._ready else None

    def take_all(self) -> list[Any]:
        """Every piece that is ready."""
        pieces = list(self._ready)
        self._ready.clear()
        return pieces

    def result(self, now: float) -> StreamResult:
        """What became of it, so far."""
        config, reading = self._config, self._reading
        assembled = reading.assembled if reading is not None else None
        usage = reading.usage if reading is not None else None
        tokens = reading.tokens if reading is not None else 0
        response = assembled.result() if assembled is not None else {}
        count = usage.output_tokens if usage is not None and usage.output_tokens else tokens
        first, last = self._first_at, self._last_at
        reason = self._reason
        if reason in ("client_cancel", "soft_stop") and not config.cancellation:
            reason = None
        return StreamResult(
            complete=self.ended and self.failure is None,
            text=self.text,
            reason=reason,
            finish_reason=self._finish_reason if config.finish_reason else None,
            response=response,
            usage=usage,
            stream_id=self.stream_id,
            model=response.get("model") or self._model,
            tokens=tokens,
            ttft=first - self._asked_at if first is not None and config.ttft else None,
            tpot=(last - first) / (count - 1) if config.tpot and first and last and count > 1 else None,
            duration=(self._ended_at if self._ended_at is not None else now) - self._asked_at,
            retries=self.retries,
            malformed=reading.malformed if reading is not None else 0,
        )

    @property
    def _finish_reason(self) -> str | None:
        reasons = self._reading.assembled.finish_reasons if self._reading is not None else {}
        return reasons[min(reasons)] if reasons else None

    def _collect(self, reading: Reading) -> None:
        if self._raw:
            if reading.events:
                self._ready.extend(reading.events)
                reading.events.clear()
            return
        texts = reading.texts
        if len(texts) == 1:
            self._show(texts.pop())
        elif texts:
            for at in range(0, len(texts), self._config.max_buffer):
                self._show("".join(texts[at : at + self._config.max_buffer]))
            texts.clear()

    def _show(self, text: str) -> None:
        if self._filter is not None:
            text = self._filter.feed(text)
        whole = self._graphemes.feed(text)
        if whole:
            self._shown.append(whole)
            self._ready.append(whole)

    def _end(self, now: float, reason: str) -> None:
        self.ended = True
        self._ended_at = now
        self._reason = reason
        if self._raw or reason == Cancelled.default_code:
            return
        rest = self._graphemes.feed(self._filter.close()) if self._filter is not None else ""
        rest += self._graphemes.close()
        if rest:
            self._shown.append(rest)
            self._ready.append(rest)
