"""Logs: one structured line per stream end, and one shape for everything else that this process says.

Lines go to stderr. JSON is made by msgspec and written as bytes; console is for a person at a terminal. Tracebacks
are plain: the pretty kind prints local variables, and those hold prompts.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, BinaryIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from tidegate.telemetry.record import StreamRecord

__all__ = ["LogHook", "configure_logging", "place_of"]

# What an operator need not look at: the model or the reader decided, or a rule did what it is there for.
_EXPECTED = frozenset(
    {
        "stop",
        "length",
        "tool_calls",
        "content_filter",
        "client_cancel",
        "soft_stop",
        "limit",
        "budget",
        "filtered",
        "upstream_refused",
    }
)
_MAX_NAME = 128  # of a name that a client chose


def configure_logging(log_format: str = "auto", level: str = "info", *, stream: BinaryIO | None = None) -> None:
    """Send structlog and the standard library's loggers (uvicorn's among them) to stderr in one shape.

    :param log_format: ``json``, ``console``, or ``auto``: console when stderr is a terminal.
    :param level: the least level that is written; the names of the standard library, in any case.
    :param stream: instead of stderr.
    """
    global _lines
    out = cast(BinaryIO, _Unfailing(sys.stderr.buffer if stream is None else stream))
    number = logging.getLevelNamesMapping()[level.upper()]
    as_json = log_format == "json" or (log_format == "auto" and not out.isatty())
    render: list[Processor] = (
        [_to_json]
        if as_json
        else [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("iso", utc=True),
            structlog.dev.ConsoleRenderer(
                colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback, sort_keys=False
            ),
            _to_bytes,
        ]
    )
    structlog.configure(
        processors=render,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.BytesLoggerFactory(out),
        cache_logger_on_first_use=False,  # a reload may configure again
    )
    _lines = out if as_json and number <= logging.INFO else None
    _route_standard_library(out, number, render)


def _route_standard_library(out: BinaryIO, level: int, render: list[Processor]) -> None:
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render, _to_text],
    )
    handler = _BytesHandler(out)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))  # libraries speak only of trouble
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(max(level, logging.WARNING))  # that it started and stopped, we say ourselves


class _Unfailing:
    """A stream whose reader may go: a line that cannot be written is lost, and nothing that wrote it notices.

    A log is written from the middle of streams and from signal handlers; an exception there would end a stream, or lose
    the signal.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def isatty(self) -> bool:
        return self._out.isatty()

    def write(self, line: bytes) -> int:
        try:
            return self._out.write(line)
        except (OSError, ValueError):  # no reader, a full disk; or closed
            return len(line)

    def flush(self) -> None:
        try:
            self._out.flush()
        except (OSError, ValueError):
            pass


class _BytesHandler(logging.Handler):
    """Writes a record as one line of bytes: text streams would encode and lock a second time."""

    def __init__(self, out: BinaryIO) -> None:
        super().__init__()
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._out.write(self.format(record).encode("utf-8", "backslashreplace") + b"\n")
            self._out.flush()
        except Exception:
            self.handleError(record)


# Where lines of JSON go, when that is what is written: the line of a stream's end needs no more of structlog than that.
_lines: BinaryIO | None = None

_encode = msgspec.json.Encoder(enc_hook=str).encode


def _to_json(logger: WrappedLogger, method: str, event_dict: EventDict) -> bytes:
    # One step where structlog has four, because each stream writes a line. What happened comes first, where a reader's
    # eye is.
    if "exc_info" in event_dict:
        event_dict = structlog.processors.format_exc_info(logger, method, event_dict)
    return _encode(
        {"timestamp": datetime.now(UTC), "level": method, "event": event_dict.pop("event", None), **event_dict}
    )


def _to_bytes(_logger: WrappedLogger, _method: str, line: Any) -> bytes:
    return str(line).encode("utf-8", "backslashreplace")


def _to_text(_logger: WrappedLogger, _method: str, line: Any) -> str:
    return bytes(line).decode("utf-8")


class LogHook:
    """One line per stream end: ids, reason, milliseconds, tokens, bytes. Never text, never a key.

    Make it after :func:`configure_logging`: the logger is bound once, not for every line.
    """

    __slots__ = ("_lines", "_log")

    def __init__(self, logger: FilteringBoundLogger | None = None) -> None:
        self._log: FilteringBoundLogger = (structlog.get_logger() if logger is None else logger).bind()
        self._lines = _lines if logger is None else None

    def opened(self) -> None:
        """Nothing: a stream is worth one line, and it is the one that knows how it went."""

    def ended(self, record: StreamRecord) -> None:
        expected = record.reason in _EXPECTED
        if self._lines is None:
            write = self._log.info if expected else self._log.warning
            write("stream.end", **_fields(record))
            return
        line = {"timestamp": datetime.now(UTC), "level": "info" if expected else "warning", "event": "stream.end"}
        line.update(_fields(record))
        self._lines.write(_encode(line) + b"\n")
        self._lines.flush()


def _fields(record: StreamRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "stream_id": record.stream_id,
        "client": record.client,
        "model": _name(record.model),
        "upstream": record.upstream,
        "framing": record.framing,
        "status": record.status,
        "reason": record.reason,
        "duration_ms": round(record.duration * 1e3, 2),
        "tokens": record.tokens,
        "retries": record.retries,
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
    }
    if record.served_model and record.served_model != record.model:
        fields["served_model"] = _name(record.served_model)
    for key, seconds in (
        ("queue_ms", record.queue_time),
        ("ttft_ms", record.ttft),
        ("tpot_ms", record.tpot),
        ("max_gap_ms", record.max_gap),
        ("added_ms", record.added_latency),
        ("cancel_ms", record.cancel_latency),
    ):
        if seconds is not None:
            fields[key] = round(seconds * 1e3, 3)
    if record.finish_reason is not None and record.finish_reason != record.reason:
        fields["finish_reason"] = _name(record.finish_reason)
    if record.usage is not None:
        fields["prompt_tokens"] = record.usage.prompt_tokens
        fields["output_tokens"] = record.usage.output_tokens
        if record.usage.estimated:
            fields["estimated"] = True
    if record.malformed:
        fields["malformed"] = record.malformed
    if record.error_code is not None:
        fields["error_code"] = record.error_code
    return fields


def _name(text: str) -> str:
    """A name that somebody else chose, made safe for a terminal: no control characters, not endless."""
    if len(text) > _MAX_NAME:
        text = text[:_MAX_NAME] + "…"
    return text if text.isprintable() else ascii(text)[1:-1]


def place_of(error: BaseException) -> str:
    """File and line of each frame, innermost last: a traceback without values, which may be what passed through."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(f"{trace.tb_frame.f_code.co_filename.rpartition('/tidegate/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " > ".join(frames)
