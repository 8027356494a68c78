"""PURE. One generation as a list of steps: how long to wait, what to send, whether it is a token, what then.

Everything is bytes before the first one is sent, so that playing a script costs nothing but sending it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import parse_qsl

from tidegate.simulator.options import SimulatorOptions
from tidegate.simulator.texts import ANSWERS, tokens_of
from tidegate.wire.openai_chat import encode_json
from tidegate.wire.sse import DONE, encode_sse

__all__ = [
    "MODELS",
    "After",
    "Asked",
    "Script",
    "Step",
    "asked_of",
    "cut_script",
    "place_of_finish",
    "script_of",
    "script_with",
    "whole_answer",
]

CREATED: Final = 1_767_225_600
"""2026-01-01: a simulated answer has no date of its own."""

MAX_TOKENS: Final = 1_000_000

After = Literal["go", "end", "close", "reset", "hang"]
"""What follows a step: the next one, the end of the body, FIN, RST, or nothing ever."""

MODELS: Final = (*ANSWERS, "tools", "reasoning", "refusal")


class Step(NamedTuple):
    """``wait`` seconds after the step before it, send ``data`` as body bytes."""

    wait: float
    data: bytes
    tokens: int = 0
    after: After = "go"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for, as far as it matters here."""

    name: str
    """Behind ``sim/``, without its options; ``default`` for a model that is not ours."""
    model: str
    """As it was asked for."""
    options: SimulatorOptions
    usage: bool
    prompt_tokens: int
    authorization: str = field(default="", repr=False)
    turn: int = 0
    """How often this model was asked for before."""
    stream: bool = True


@dataclass(slots=True)
class Script:
    """A response: its head, unless a step says everything, and its body."""

    steps: list[Step]
    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("content-type", "text/event-stream; charset=utf-8"),)
    framing: Literal["chunked", "length", "close", "raw"] = "chunked"
    """``raw``: the steps carry the head too."""
    head_wait: float = 0.0
    """Seconds before the head; a negative one never ends."""
    linger: bool = True
    """Whether the connection is kept afterwards."""
    tokens: int = 0
    """Of the answer as it was meant."""


def asked_of(body: dict[str, Any], options: SimulatorOptions, *, authorization: str = "", turn: int = 0) -> Asked:
    """Read a request.

    :raises ValueError: the model's options are not numbers.
    """
    model = str(body.get("model", ""))
    name, _, query = model.partition("?")
    own: dict[str, Any] = {}
    for key, value in parse_qsl(query):
        if key in ("ttft", "tps", "jitter"):
            own[key] = max(0.0, float(value))
        elif key in ("tokens", "seed"):
            own[key] = min(MAX_TOKENS, max(0, int(value)))
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    chosen = replace(options, **own)
    if isinstance(limit, int) and limit > 0 and not chosen.tokens:
        natural = len(_tokens(name.removeprefix("sim/"), 0))
        chosen = replace(chosen, tokens=min(limit, natural)) if limit < natural else chosen
    stream_options = body.get("stream_options")
    return Asked(
        name=name.removeprefix("sim/") if name.startswith("sim/") else "default",
        model=model,
        options=chosen,
        usage=isinstance(stream_options, dict) and bool(stream_options.get("include_usage")),
        prompt_tokens=sum(len(tokens_of(_text(message))) for message in body.get("messages") or ()),
        authorization=authorization,
        turn=turn,
        stream=bool(body.get("stream")),
    )


def _text(message: Any) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) else ""


def _tokens(name: str, count: int) -> list[str]:
    natural = tokens_of(ANSWERS.get(name, ANSWERS["default"]))
    if not count:
        return natural
    return (natural * (count // len(natural) + 1))[:count]


def chunk(asked: Asked, delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """The JSON of one chunk."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return encode_json({**_head(asked), "choices": [choice], **more})


def _head(asked: Asked) -> dict[str, Any]:
    return {"id": "chatcmpl-sim", "object": "chat.completion.chunk", "created": CREATED, "model": asked.model}


def deltas(asked: Asked) -> list[dict[str, Any]]:
    """The answer's deltas, one token each."""
    count = asked.options.tokens
    if asked.name == "tools":
        return _limited(_tool_deltas(), count)
    if asked.name == "reasoning":
        thought = [{"reasoning_content": token} for token in tokens_of("The sea rises twice a day. Why? The moon. ")]
        return _limited([*thought, *({"content": token} for token in tokens_of("Because of the moon."))], count)
    if asked.name == "refusal":
        return _limited([{"refusal": token} for token in tokens_of("I cannot stop the tide, nor help you to.")], count)
    return [{"content": token} for token in _tokens(asked.name, count)]


@lru_cache(maxsize=64)
def _events(name: str, model: str, tokens: int) -> tuple[bytes, ...]:
    """The events of an answer's deltas: made once, since benchmarks ask the same thing thousands of times."""
    asked = Asked(name, model, SimulatorOptions(tokens=tokens), False, 0)
    return tuple(encode_sse(chunk(asked, delta)) for delta in deltas(asked))


def _limited(all_of: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    return all_of[:count] if count else all_of


def _tool_deltas() -> list[dict[str, Any]]:
    """Two calls whose arguments arrive in turns."""
    names, arguments = ("tide_at", "wind_at"), ('{"port": "Cuxhaven", "day": 3}', '{"port": "Bergen"}')
    found: list[dict[str, Any]] = [
        {
            "tool_calls": [
                {"index": i, "id": f"call_sim_{i}", "type": "function", "function": {"name": names[i], "arguments": ""}}
            ]
        }
        for i in (0, 1)
    ]
    pieces = [tokens_of(text) for text in arguments]
    for place in range(max(map(len, pieces))):
        for i in (0, 1):
            if place < len(pieces[i]):
                call = {"index": i, "function": {"arguments": pieces[i][place]}}
                found.append({"tool_calls": [call]})
    return found


def finish_of(asked: Asked) -> str:
    """The finish reason of the whole answer."""
    if asked.options.tokens and asked.name in ANSWERS and asked.options.tokens < len(_tokens(asked.name, 0)):
        return "length"
    return "tool_calls" if asked.name == "tools" else "stop"


def usage_of(asked: Asked, tokens: int) -> dict[str, int]:
    """Token counts in the dialect's shape."""
    total = asked.prompt_tokens + tokens
    return {"prompt_tokens": asked.prompt_tokens, "completion_tokens": tokens, "total_tokens": total}


def pauses(options: SimulatorOptions, count: int, turn: int) -> Iterator[float]:
    """Seconds before each token: TTFT, then the pace with its jitter."""
    rand = random.Random(options.seed + turn)  # noqa: S311 - a pace, not a secret
    pace = 1.0 / options.tps if options.tps > 0 else 0.0
    for place in range(count):
        if place == 0:
            yield options.ttft
        elif options.jitter:
            yield pace * (1.0 + options.jitter * (2.0 * rand.random() - 1.0))
        else:
            yield pace


def script_of(asked: Asked) -> Script:
    """The good answer: role, tokens, finish reason, usage if asked for, end marker."""
    said = _events(asked.name, asked.model, asked.options.tokens)
    waits = pauses(asked.options, len(said), asked.turn)
    return script_with(
        asked,
        [Step(wait if place else 0.0, event, 1) for place, (wait, event) in enumerate(zip(waits, said, strict=True))],
    )


def script_with(asked: Asked, tokens: list[Step]) -> Script:
    """The good answer with these tokens, whatever was asked for."""
    role = chunk(asked, {"role": "assistant", "content": None if asked.name == "tools" else ""})
    # The role waits for the first token: servers send both when the first token is there.
    steps = [
        Step(asked.options.ttft, encode_sse(role)),
        *tokens,
        Step(0.0, encode_sse(chunk(asked, {}, finish_of(asked)))),
    ]
    if asked.usage:
        usage = {**_head(asked), "choices": [], "usage": usage_of(asked, len(tokens))}
        steps.append(Step(0.0, encode_sse(encode_json(usage))))
    steps.append(Step(0.0, DONE, 0, "end"))
    return Script(steps, tokens=len(tokens))


def place_of_finish(script: Script) -> int:
    """Where the finish reason stands in a good answer: behind the role and the tokens."""
    return 1 + script.tokens


def cut_script(asked: Asked, count: int) -> Script:
    """The good answer up to its ``count``-th token; it does not end."""
    script = script_of(asked)
    script.steps = script.steps[: 1 + count]  # the role comes first, then each token is a step
    return script


def whole_answer(asked: Asked) -> bytes:
    """The same answer as one JSON body."""
    said = deltas(asked)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(each.get("content", "") for each in said) or None,
    }
    for name in ("reasoning_content", "refusal"):
        if any(name in each for each in said):
            message[name] = "".join(each.get(name, "") for each in said)
    calls: dict[int, dict[str, Any]] = {}
    for each in said:
        for call in each.get("tool_calls", ()):
            known = calls.setdefault(call["index"], {"type": "function", "function": {"name": "", "arguments": ""}})
            known.update({key: call[key] for key in ("id",) if key in call})
            known["function"]["name"] += call["function"].get("name", "")
            known["function"]["arguments"] += call["function"]["arguments"]
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_of(asked)}
    head = {**_head(asked), "object": "chat.completion"}
    return encode_json({**head, "choices": [choice], "usage": usage_of(asked, len(said))})


def whole_script(asked: Asked) -> Script:
    """One JSON body, after the time that its stream would have taken."""
    count = len(deltas(asked))
    wait = sum(pauses(asked.options, count, asked.turn))
    steps = [Step(wait, whole_answer(asked), count, "end")]
    return Script(steps, headers=(("content-type", "application/json"),), framing="length", tokens=count)


def error_script(status: int, message: str, code: str, headers: Sequence[tuple[str, str]] = ()) -> Script:
    """A refusal in OpenAI's shape."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()
    content_type = ("content-type", "application/json")
    return Script([Step(0.0, body, 0, "end")], status=status, headers=(content_type, *headers), framing="length")
