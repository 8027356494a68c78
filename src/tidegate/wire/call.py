"""Any call of OpenAI's API other than chat: what a gateway must know of the request, and of the usage in an answer.

The body passes as it came. Only the model's name is looked for in it, and exchanged where the upstream has another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from tidegate.errors import InvalidRequest
from tidegate.events import Usage
from tidegate.wire.chat_request import MAX_MODEL_CHARS, fields_of, hides, value_of
from tidegate.wire.multipart import boundary_of, field

__all__ = ["CallRequest", "call_usage", "parse_call", "usage_in"]

MAX_TAIL: Final = 16384
"""Bytes at the end of a long JSON answer in which its usage is looked for."""

_ANY = msgspec.json.Decoder()
_SAFE: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/:@!$&'()*+,;=~-._")
"""What may stand in a path as it is (RFC 3986 §3.3)."""

_MOST_TOKENS: Final = 10**12

_NAMED: Final[Mapping[str, str]] = {
    "/completions": "text_completion",
    "/embeddings": "embeddings",
    "/responses": "chat",
}


class CallRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call, as it goes to the upstream of its model."""

    include_usage: ClassVar[bool] = True
    """Nothing is asked for that the client did not ask for."""

    method: str
    path: str
    """Behind ``/v1``, with the query; ready for a request line."""
    model: str = ""
    """Empty: the call names none, and goes to an upstream that is chosen otherwise."""
    stream: bool = False
    include_obfuscation: bool | None = None
    fields: Mapping[str, msgspec.Raw] = {}
    """Of a JSON body."""
    payload: bytes = b""
    place: tuple[int, int] | None = None
    """Where the model's name stands in a form."""

    @property
    def body(self) -> bytes:
        """What of the body is text: JSON, and no form with a file in it."""
        return self.payload if self.fields else b""

    @property
    def operation(self) -> str:
        """A word for what is done, for metrics: OpenTelemetry's where there is one, and never the client's own."""
        path = self.path.partition("?")[0]
        return _NAMED.get(path) or next((word for start, word in _KINDS if path.startswith(start)), "other")

    @property
    def once(self) -> bool:
        """It may change something at the upstream that a second try would change again."""
        return not self.model and self.method != "GET"

    def upstream_body(self, model: str, *, add_usage: bool = False) -> bytes:
        """The body under the upstream's own name of the model; everything else byte for byte where it can be."""
        if model == self.model or not self.model:
            return self.payload
        if self.place is not None:
            start, end = self.place
            return self.payload[:start] + model.encode() + self.payload[end:]
        return msgspec.json.encode({**self.fields, "model": msgspec.Raw(msgspec.json.encode(model))})


_KINDS: Final = (
    ("/responses", "responses"),
    ("/audio/speech", "speech"),
    ("/audio", "transcription"),
    ("/images", "image_generation"),
    ("/moderations", "moderation"),
    ("/files", "files"),
    ("/uploads", "files"),
    ("/batches", "batches"),
)


def parse_call(method: str, path: str, query: bytes, content_type: bytes, body: bytes) -> CallRequest:
    """Read a call as far as a gateway must.

    :param path: behind ``/v1``, decoded, beginning with a slash.
    :raises InvalidRequest: it cannot be passed on.
    """
    if any(part in (".", "..") for part in path.split("/")):
        raise InvalidRequest("A path must not have '.' or '..' in it.", status=404, code="unknown_url")
    raw = path.encode("utf-8", "surrogateescape")
    target = "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in raw)
    if query:
        if not query.isascii() or any(byte <= 32 or byte == 127 for byte in query):
            raise InvalidRequest("The query has characters that must be escaped.")
        target += "?" + query.decode("ascii")
    call: dict[str, Any] = {"method": method, "path": target, "payload": body}
    boundary = boundary_of(content_type)
    if boundary is not None:
        return _form(call, body, boundary)
    kind = content_type.partition(b";")[0].strip().lower()
    if body and (kind.endswith(b"json") or (not kind and body.lstrip()[:1] == b"{")):
        return _json(call, body)
    return CallRequest(**call)


def _form(call: dict[str, Any], body: bytes, boundary: bytes) -> CallRequest:
    try:
        at = field(body, boundary, b"model")
        streams = field(body, boundary, b"stream")
    except ValueError as error:
        raise InvalidRequest(f"The form cannot be read: {error}.", code="invalid_form") from None
    stream = streams is not None and body[streams].strip().lower() == b"true"
    if at is None:
        return CallRequest(**call, stream=stream)
    try:
        model = body[at].decode()
    except UnicodeDecodeError:
        raise InvalidRequest("'model' is not text.", param="model") from None
    return CallRequest(**call, model=_model(model), stream=stream, place=(at.start, at.stop))


def _json(call: dict[str, Any], body: bytes) -> CallRequest:
    fields = fields_of(body)
    model, stream, options = (value_of(fields, name) for name in ("model", "stream", "stream_options"))
    if model is not None and not isinstance(model, str):
        raise InvalidRequest("'model' must be a string.", param="model")
    return CallRequest(
        **call,
        model=_model(model) if model else "",
        stream=stream is True,
        include_obfuscation=hides(options),
        fields=fields,
    )


def _model(name: str) -> str:
    if len(name) > MAX_MODEL_CHARS or not name.isprintable():
        raise InvalidRequest(f"'model' must be at most {MAX_MODEL_CHARS} printable characters.", param="model")
    return name


def call_usage(usage: Any) -> Usage | None:
    """Token counts in any of the API's shapes: chat's words, or ``input_tokens`` and ``output_tokens``.

    ``None`` for anything else: seconds of audio are not tokens.
    """
    if not isinstance(usage, dict):
        return None
    prompt, output = _count(usage, "input_tokens", "prompt_tokens"), _count(usage, "output_tokens", "completion_tokens")
    if not prompt and not output:
        return None
    read = _part(usage, "input_tokens_details", "prompt_tokens_details", "input_token_details")
    written = _part(usage, "output_tokens_details", "completion_tokens_details")
    return Usage(
        prompt_tokens=prompt,
        output_tokens=output,
        cached_tokens=_count(read, "cached_tokens"),
        reasoning_tokens=_count(written, "reasoning_tokens"),
        audio_prompt_tokens=_count(read, "audio_tokens"),
        audio_output_tokens=_count(written, "audio_tokens"),
    )


def usage_in(body: bytes, *, whole: bool = True) -> Usage | None:
    """The usage that a JSON answer reports; ``None`` when it reports none.

    :param whole: ``body`` is all of it; else its end only, where the last ``"usage"`` counts.
    """
    if whole:
        try:
            return call_usage(msgspec.json.decode(body, type=_Told).usage)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
    at = body.rfind(b'"usage"')
    start = body.find(b"{", at)
    # Up to three closing braces belong to objects inside of it.
    end = start
    for _ in range(4):
        end = body.find(b"}", end + 1) if at >= 0 and start >= 0 and end >= 0 else -1
        if end < 0:
            return None
        try:
            return call_usage(_ANY.decode(body[start : end + 1]))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return None


class _Told(msgspec.Struct):
    usage: Any = None


def _count(usage: Mapping[str, Any], *names: str) -> int:
    for name in names:
        value = usage.get(name)
        if isinstance(value, int | float) and 0 < value <= _MOST_TOKENS:
            return int(value)
    return 0


def _part(usage: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return next((usage[name] for name in names if isinstance(usage.get(name), dict)), {})
