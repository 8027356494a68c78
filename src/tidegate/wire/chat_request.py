"""An OpenAI chat request: what we must know of it, and everything else exactly as it came.

Fields that we do not know pass to the upstream byte for byte: the body is held as ``{name: raw JSON}``, so that no
number is reformatted and no extension of a provider is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from tidegate.errors import InvalidRequest

__all__ = ["ChatRequest", "fields_of", "hides", "parse_chat_request", "value_of"]

MAX_MODEL_CHARS: Final = 256
"""No provider's model name is near it; names end up in logs and labels."""

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANY = msgspec.json.Decoder()
_TRUE: Final = msgspec.Raw(b"true")
_INCLUDE_USAGE: Final = msgspec.Raw(b'{"include_usage":true}')
_ASKING: Final = b',"stream_options":{"include_usage":true}}'


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request, validated as far as a gateway may."""

    method: ClassVar[str] = "POST"
    path: ClassVar[str] = "/chat/completions"
    operation: ClassVar[str] = "chat"
    once: ClassVar[bool] = False

    model: str
    stream: bool
    fields: Mapping[str, msgspec.Raw]
    body: bytes
    """As it came."""
    include_usage: bool = False
    """The client asked for a usage chunk."""
    include_obfuscation: bool | None = None
    """The client wants the sizes of events hidden, or not; ``None``: it does not say."""

    def upstream_body(self, model: str, *, add_usage: bool = False) -> bytes:
        """The body for the upstream: always ``stream: true``, under the upstream's own model name.

        :param add_usage: ask for a usage chunk although the client did not.
        """
        if self.stream and model == self.model and not (add_usage and not self.include_usage):
            return self.body
        if self.stream and model == self.model and "stream_options" not in self.fields:
            return self.body.rstrip()[:-1] + _ASKING  # everything else byte for byte
        fields = dict(self.fields)
        fields["model"] = msgspec.Raw(msgspec.json.encode(model))
        fields["stream"] = _TRUE
        if add_usage and not self.include_usage:
            fields["stream_options"] = _with_usage(fields.get("stream_options"))
        return msgspec.json.encode(fields)


def parse_chat_request(body: bytes) -> ChatRequest:
    """Validate a request body.

    :raises InvalidRequest: with the field at fault in ``param`` and, in the message, what to send instead.
    """
    fields = fields_of(body, such_as=', such as {"model": …, "messages": […]}')
    model = value_of(fields, "model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest("You must provide a model: a non-empty string in the field 'model'.", param="model")
    if len(model) > MAX_MODEL_CHARS or not model.isprintable():
        raise InvalidRequest(f"'model' must be at most {MAX_MODEL_CHARS} printable characters.", param="model")
    messages = value_of(fields, "messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("'messages' must be a non-empty array of message objects.", param="messages")
    if not all(isinstance(message, dict) for message in messages):
        raise InvalidRequest("Each of 'messages' must be an object with 'role' and 'content'.", param="messages")
    stream = value_of(fields, "stream")
    if stream is not None and not isinstance(stream, bool):
        raise InvalidRequest("'stream' must be true or false.", param="stream")
    options = value_of(fields, "stream_options")
    if options is not None and not isinstance(options, dict):
        raise InvalidRequest("'stream_options' must be an object.", param="stream_options")
    return ChatRequest(
        model=model,
        stream=bool(stream),
        fields=fields,
        body=body,
        include_usage=bool(options and options.get("include_usage")),
        include_obfuscation=hides(options),
    )


def fields_of(body: bytes, *, such_as: str = "") -> dict[str, msgspec.Raw]:
    """The fields of a JSON body, not decoded.

    :param such_as: for the message, what an object looks like.
    :raises InvalidRequest: it is none.
    """
    try:
        return _OBJECT.decode(body)
    except msgspec.ValidationError:
        raise InvalidRequest(f"The request body must be a JSON object{such_as}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidRequest("The request body is not valid JSON.", code="invalid_json") from None
    except RecursionError:
        raise InvalidRequest("The request body is nested too deeply.", code="invalid_json") from None


def hides(options: Any) -> bool | None:
    """What ``stream_options`` say of obfuscation; ``None``: nothing."""
    wanted = options.get("include_obfuscation") if isinstance(options, dict) else None
    return wanted if isinstance(wanted, bool) else None


def value_of(fields: Mapping[str, msgspec.Raw], name: str) -> Any:
    """One field, decoded; ``None`` when it is not there.

    :raises InvalidRequest: it is not JSON after all.
    """
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return _ANY.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest(f"'{name}' is not valid JSON.", param=name, code="invalid_json") from None


def _with_usage(options: msgspec.Raw | None) -> msgspec.Raw:
    given = _ANY.decode(options) if options is not None else None
    if not given:
        return _INCLUDE_USAGE
    return msgspec.Raw(msgspec.json.encode({**given, "include_usage": True}))
