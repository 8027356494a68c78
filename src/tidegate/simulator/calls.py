"""Calls other than chat, as a model server answers them: completions, responses, embeddings, audio, images, files.

The streams are the chat scripts in another shape, with all of their faults; what is not streamed fails in the ways that
make sense for one body: a status, a cut, a reset.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Final, NamedTuple

from tidegate.simulator.faults import fault_of
from tidegate.simulator.script import (
    CREATED,
    After,
    Asked,
    Script,
    Step,
    deltas,
    error_script,
    finish_of,
    pauses,
    script_of,
    usage_of,
)
from tidegate.simulator.texts import tokens_of
from tidegate.wire.openai_chat import encode_json
from tidegate.wire.sse import encode_sse

__all__ = ["CALLS", "Call", "Files", "read_json"]

PIXEL: Final = base64.b64encode(b"a picture of the tide").decode()
SOUND: Final = bytes(range(256)) * 16
"""4 KiB of one piece of speech."""

DIMENSIONS: Final = 8
MAX_FILES: Final = 100

_BROKEN: Final = re.compile(r"(cut|rst|cut-clean)-after-(\d+)")
_BREAKS: Final[dict[str, After]] = {"cut": "close", "rst": "reset", "cut-clean": "end"}
_DATA: Final = re.compile(rb"data: (\{.*\})\n\n", re.DOTALL)

Request = dict[str, Any]


class Call(NamedTuple):
    """How one call is read and answered."""

    read: Callable[[str, bytes], Request]
    script: Callable[[Asked, bool, Request], Script]


def read_json(body: bytes) -> Request:
    """The fields of a JSON body.

    :raises ValueError: it is none.
    """
    request = json.loads(body)
    if not isinstance(request, dict):
        raise ValueError("not an object")
    return request


def _json(_: str, body: bytes) -> Request:
    return read_json(body)


def _form(content_type: str, body: bytes) -> Request:
    """The fields of a form, each file as its size: read by the standard library, and not as the gateway does."""
    message = BytesParser(policy=HTTP).parsebytes(b"content-type: " + content_type.encode() + b"\r\n\r\n" + body)
    if not message.is_multipart():
        raise ValueError("not a form")
    found: Request = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        value = part.get_payload(decode=True)
        assert isinstance(value, bytes)
        found[str(name)] = value if part.get_filename() is not None else value.decode()
    return {**found, "stream": found.get("stream") == "true"}


def _nothing(_: str, body: bytes) -> Request:
    return {}


def _shaped(shape: Callable[[Asked, dict[str, Any], Script], list[bytes]]) -> Callable[[Asked, Script], Script]:
    """A chat script with each chunk in another shape."""

    def shaped(asked: Asked, script: Script) -> Script:
        steps = []
        for step in script.steps:
            found = _DATA.fullmatch(step.data)
            try:
                chunk = None if found is None else json.loads(found[1])
            except ValueError:
                chunk = None
            if not isinstance(chunk, dict) or "choices" not in chunk or "error" in chunk:
                steps.append(step)
                continue
            steps.append(step._replace(data=b"".join(shape(asked, chunk, script))))
        return replace(script, steps=steps)

    return shaped


def _completion_chunk(asked: Asked, chunk: dict[str, Any], _: Script) -> list[bytes]:
    choices = [
        {
            "index": choice.get("index", 0),
            "text": (choice.get("delta") or {}).get("content") or "",
            "logprobs": None,
            "finish_reason": choice.get("finish_reason"),
        }
        for choice in chunk["choices"]
    ]
    head = {"id": "cmpl-sim", "object": "text_completion", "created": CREATED, "model": asked.model}
    rest = {"usage": chunk["usage"]} if "usage" in chunk else {}
    return [encode_sse(encode_json({**head, "choices": choices, **rest}))]


def _response_event(asked: Asked, chunk: dict[str, Any], script: Script) -> list[bytes]:
    events: list[dict[str, Any]] = []
    for choice in chunk["choices"]:
        delta = choice.get("delta") or {}
        if delta.get("role"):
            events.append({"type": "response.created", "response": _response(asked, "in_progress", "", None)})
        if delta.get("content"):
            place = {"item_id": "msg_sim", "output_index": 0, "content_index": 0, "logprobs": []}
            events.append({"type": "response.output_text.delta", **place, "delta": delta["content"]})
        if choice.get("finish_reason"):
            whole = _response(asked, "completed", _text(asked), _usage(asked, script.tokens))
            events.append({"type": "response.completed", "response": whole})
    return [
        encode_sse(encode_json({**event, "sequence_number": number}), event=event["type"])
        for number, event in enumerate(events)
    ]


def _text(asked: Asked) -> str:
    return "".join(delta.get("content") or "" for delta in deltas(asked))


def _usage(asked: Asked, output: int) -> dict[str, Any]:
    prompt = asked.prompt_tokens
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 1},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": prompt + output,
    }


def _response(asked: Asked, status: str, text: str, usage: dict[str, Any] | None) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"type": "message", "id": "msg_sim", "status": status, "role": "assistant", "content": content}
    return {
        "id": "resp_sim",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": asked.model,
        "output": [message] if text else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
        "metadata": {},
    }


def _whole(asked: Asked, document: dict[str, Any], tokens: int, wait: float = 0.0) -> Script:
    """One JSON body, or the fault that the model's name asks for."""
    return _one_body(asked, encode_json(document), "application/json", tokens, wait)


def _one_body(asked: Asked, body: bytes, kind: str, tokens: int, wait: float = 0.0) -> Script:
    refused, broken = _refused(asked), _broken(asked)
    if refused is not None:
        return refused
    headers = (("content-type", kind),)
    if broken is None:
        return Script([Step(wait, body, tokens, "end")], headers=headers, framing="length", tokens=tokens)
    most, end = broken
    return Script([Step(wait, body[:most], tokens), end], headers=headers, framing="chunked", tokens=tokens)


def _refused(asked: Asked) -> Script | None:
    """The fault that the model's name asks for, when it comes before the body."""
    fault = fault_of(asked.name)
    script = None if fault is None else fault[0](asked, fault[1])
    return script if script is not None and (script.status != 200 or script.head_wait) else None


def _broken(asked: Asked) -> tuple[int, Step] | None:
    """After how much the model's name asks for a break, and what breaks it."""
    broken = _BROKEN.fullmatch(asked.name)
    if broken is None:
        return None
    return int(broken[2]), Step(0.05, b"", 0, _BREAKS[broken[1]])


def _completions(asked: Asked, stream: bool, request: Request) -> Script:
    asked = _prompted(asked, request.get("prompt"))
    if stream:
        return _as_completion(asked, _chat(asked))
    count = len(deltas(asked))
    choice = {"index": 0, "text": _text(asked), "logprobs": None, "finish_reason": finish_of(asked)}
    head = {"id": "cmpl-sim", "object": "text_completion", "created": CREATED, "model": asked.model}
    whole = {**head, "choices": [choice], "usage": usage_of(asked, count)}
    return _whole(asked, whole, count, sum(pauses(asked.options, count, asked.turn)))


def _responses(asked: Asked, stream: bool, request: Request) -> Script:
    asked = _prompted(asked, request.get("input"))
    if stream:
        script = _as_response(asked, _chat(asked))
        # There is no end marker: the terminal event is it.
        script.steps = [
            step._replace(data=b"") if step.data.startswith(b"data: [DONE]") else step for step in script.steps
        ]
        return script
    count = len(deltas(asked))
    return _whole(asked, _response(asked, "completed", _text(asked), _usage(asked, count)), count)


def _chat(asked: Asked) -> Script:
    fault = fault_of(asked.name)
    return script_of(asked) if fault is None else fault[0](asked, fault[1])


def _prompted(asked: Asked, prompt: Any) -> Asked:
    text = prompt if isinstance(prompt, str) else json.dumps(prompt)
    return replace(asked, prompt_tokens=len(tokens_of(text)))


def _embeddings(asked: Asked, _: bool, request: Request) -> Script:
    given = request.get("input")
    texts = given if isinstance(given, list) else [given]
    vectors = [[float(place + number) for place in range(DIMENSIONS)] for number in range(len(texts))]
    packed = request.get("encoding_format") == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(struct.pack(f"<{DIMENSIONS}f", *vector)).decode() if packed else vector,
        }
        for index, vector in enumerate(vectors)
    ]
    prompt = sum(len(tokens_of(str(text))) for text in texts)
    usage = {"prompt_tokens": prompt, "total_tokens": prompt}
    return _whole(asked, {"object": "list", "data": data, "model": asked.model, "usage": usage}, 0)


def _transcription(asked: Asked, _: bool, request: Request) -> Script:
    sound = request.get("file")
    if not isinstance(sound, bytes):
        return error_script(400, "There is no file.", "invalid_request")
    usage = {"type": "tokens", "input_tokens": len(sound) // 100, "output_tokens": 4, "total_tokens": 4}
    return _whole(asked, {"text": f"The tide rises: {len(sound)} bytes.", "usage": usage}, 4)


def _speech(asked: Asked, _: bool, request: Request) -> Script:
    count = len(tokens_of(str(request.get("input", ""))))
    wait = 1.0 / asked.options.tps if asked.options.tps else 0.0
    steps = [Step(wait, SOUND, 0) for _ in range(count)]
    steps.append(Step(0.0, b"", 0, "end"))
    script = Script(steps, headers=(("content-type", "audio/mpeg"),))
    refused, broken = _refused(asked), _broken(asked)
    if refused is not None:
        return refused
    if broken is not None:
        script.steps[broken[0] :] = [broken[1]]
    return script


def _image(asked: Asked, _: bool, request: Request) -> Script:
    usage = {"input_tokens": 5, "output_tokens": 272, "total_tokens": 277}
    return _whole(asked, {"created": CREATED, "data": [{"b64_json": PIXEL}], "usage": usage}, 0)


_as_completion = _shaped(_completion_chunk)
_as_response = _shaped(_response_event)

CALLS: Final[dict[tuple[str, str], Call]] = {
    ("POST", "/v1/completions"): Call(_json, _completions),
    ("POST", "/v1/responses"): Call(_json, _responses),
    ("POST", "/v1/embeddings"): Call(_json, _embeddings),
    ("POST", "/v1/audio/transcriptions"): Call(_form, _transcription),
    ("POST", "/v1/audio/speech"): Call(_json, _speech),
    ("POST", "/v1/images/generations"): Call(_json, _image),
}


class Files:
    """A place for uploaded files."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[dict[str, Any], bytes]] = {}
        self.uploads = 0
        """Files that came, also those that were removed."""

    def call(self, method: str, path: str) -> Call | None:
        """How a call about files is answered."""
        name, _, what = path.removeprefix("/v1/files").strip("/").partition("/")
        if method == "POST" and not name:
            return Call(_form, lambda asked, _, request: _whole(asked, self._add(request), 0))
        if method == "GET" and not name:
            listed = {"object": "list", "data": [about for about, _ in self._files.values()], "has_more": False}
            return Call(_nothing, lambda asked, *_: _whole(asked, listed, 0))
        if name not in self._files:
            return None
        about, content = self._files[name]
        if method == "GET" and what == "content":
            return Call(_nothing, lambda asked, *_: _one_body(asked, content, "application/octet-stream", 0))
        if method == "GET" and not what:
            return Call(_nothing, lambda asked, *_: _whole(asked, about, 0))
        if method == "DELETE" and not what:
            return Call(_nothing, lambda asked, *_: _whole(asked, self._remove(name), 0))
        return None

    def _add(self, request: Request) -> dict[str, Any]:
        content = request.get("file", b"")
        self.uploads += 1
        name = f"file-sim-{self.uploads}"
        about = {
            "id": name,
            "object": "file",
            "bytes": len(content),
            "created_at": CREATED,
            "filename": "upload",
            "purpose": request.get("purpose", ""),
            "status": "processed",
        }
        self._files[name] = about, content
        for oldest in _first(self._files, len(self._files) - MAX_FILES):
            del self._files[oldest]
        return about

    def _remove(self, name: str) -> dict[str, Any]:
        del self._files[name]
        return {"id": name, "object": "file", "deleted": True}


def _first(names: dict[str, Any], count: int) -> Iterator[str]:
    return iter([name for _, name in zip(range(count), names, strict=False)])
