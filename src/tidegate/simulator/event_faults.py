"""PURE. Ways in which a model server fails in what it says; its HTTP is good. Docstrings as in ``faults``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tidegate.simulator.script import Asked, Script, Step, chunk, cut_script, place_of_finish, script_of
from tidegate.wire.openai_chat import encode_json
from tidegate.wire.sse import DONE, encode_sse

__all__ = ["EVENT_FAULTS"]

_END: Final = Step(0.0, b"", 0, "end")


def empty(asked: Asked, _: int) -> Script:
    """Sends a stream without any event -> an error"""
    return Script([Step(asked.options.ttft, b"", 0, "end")])


def only_comments(asked: Asked, _: int) -> Script:
    """Sends comments and ends -> an error"""
    return Script([Step(asked.options.ttft, b": PROCESSING\n\n"), Step(0.05, b": PROCESSING\n\n", 0, "end")])


def endless_comments(_asked: Asked, _: int) -> Script:
    """Sends a comment every fifth of a second and never a token -> 504 after first_token_timeout"""
    return Script([*[Step(0.2, b": PROCESSING\n\n")] * 3000, _END])


def only_done(asked: Asked, _: int) -> Script:
    """Sends [DONE] and nothing else -> an error"""
    return Script([Step(asked.options.ttft, DONE, 0, "end")])


def only_role(asked: Asked, _: int) -> Script:
    """Sends the role, and ends -> an error"""
    script = cut_script(asked, 0)
    script.steps.append(Step(0.0, DONE, 0, "end"))
    return script


def error_string(asked: Asked, _: int) -> Script:
    """Reports an error that is a string -> an error event"""
    return _broken_by(asked, encode_sse(encode_json({"error": "The server is on fire."})))


def error_named(asked: Asked, _: int) -> Script:
    """Reports an error in an event named "error" -> an error event"""
    body = encode_json({"message": "The server is on fire.", "code": 500})
    return _broken_by(asked, encode_sse(body, event="error"))


def error_then_done(asked: Asked, _: int) -> Script:
    """Reports an error, and then sends [DONE] -> an error event, never [DONE]"""
    error = encode_json({"error": {"message": "The server is on fire.", "type": "server_error", "code": "fire"}})
    return _broken_by(asked, encode_sse(error) + DONE)


def error_finish(asked: Asked, _: int) -> Script:
    """Reports an error beside a finish reason -> an error event"""
    body = chunk(asked, {}, "stop", error={"message": "The server is on fire.", "code": 500})
    return _broken_by(asked, encode_sse(body) + DONE)


def error_first(asked: Asked, _: int) -> Script:
    """Answers 200, and reports an error before the first token -> an error"""
    error = encode_json({"error": {"message": "The server is on fire.", "type": "server_error", "code": "fire"}})
    return Script([Step(asked.options.ttft, encode_sse(error), 0, "end")])


def _broken_by(asked: Asked, event: bytes) -> Script:
    script = cut_script(asked, 3)
    script.steps += [Step(0.0, event), _END]
    return script


def text_body(asked: Asked, _: int) -> Script:
    """Answers 200 with a line of text -> an error"""
    body = b"upstream connect error or disconnect/reset before headers"
    return Script([Step(asked.options.ttft, body, 0, "end")], headers=(("content-type", "text/plain"),))


def error_body(asked: Asked, _: int) -> Script:
    """Answers 200 with an error as its JSON body -> an error"""
    body = encode_json({"error": {"message": "The server is on fire.", "type": "server_error", "code": "fire"}})
    headers = (("content-type", "application/json"),)
    return Script([Step(asked.options.ttft, body, 0, "end")], headers=headers, framing="length")


def untyped(asked: Asked, _: int) -> Script:
    """Leaves out the content type -> the answer"""
    script = script_of(asked)
    script.headers = ()
    return script


def bom(asked: Asked, _: int) -> Script:
    """Begins with a byte-order mark -> the answer"""
    script = script_of(asked)
    script.steps[0] = script.steps[0]._replace(data=b"\xef\xbb\xbf" + script.steps[0].data)
    return script


def _rewritten(change: Callable[[bytes], bytes], what: str) -> Callable[[Asked, int], Script]:
    def fault(asked: Asked, _: int) -> Script:
        script = script_of(asked)
        script.steps = [step._replace(data=change(step.data)) for step in script.steps]
        return script

    fault.__doc__ = what
    return fault


def burst(asked: Asked, _: int) -> Script:
    """Sends its whole answer in one piece -> the answer"""
    script = script_of(asked)
    body = b"".join(step.data for step in script.steps)
    script.steps = [Step(asked.options.ttft, body, script.tokens, "end")]
    return script


def after_done(asked: Asked, _: int) -> Script:
    """Sends more tokens after [DONE] -> the answer without them"""
    script = script_of(asked)
    more = encode_sse(chunk(asked, {"content": " and nobody asked for this"}))
    script.steps[-1] = Step(0.0, DONE)
    script.steps += [Step(0.05, more), Step(0.0, DONE, 0, "end")]
    return script


def twice_done(asked: Asked, _: int) -> Script:
    """Sends [DONE] twice -> the answer"""
    script = script_of(asked)
    script.steps[-1] = Step(0.0, DONE + DONE, 0, "end")
    return script


def twice_finished(asked: Asked, _: int) -> Script:
    """Sends its finish reason twice -> the answer"""
    script = script_of(asked)
    finish = place_of_finish(script)
    script.steps.insert(finish, script.steps[finish])
    return script


def one_choice_cut(asked: Asked, _: int) -> Script:
    """Finishes one of two choices, and ends -> an error event"""
    script = script_of(asked)
    other = {"index": 1, "delta": {"content": "Another"}, "finish_reason": None}
    head = {"id": "chatcmpl-sim", "object": "chat.completion.chunk", "created": 0, "model": asked.model}
    script.steps.insert(3, Step(0.0, encode_sse(encode_json({**head, "choices": [other]}))))
    return script


def tool_call_cut(asked: Asked, _: int) -> Script:
    """Ends in the middle of a tool call's arguments, with [DONE] -> an error event, never half a call"""
    script = cut_script(Asked("tools", asked.model, asked.options, False, 0), 6)
    script.steps.append(Step(0.0, DONE, 0, "end"))
    return script


def null_choices(asked: Asked, _: int) -> Script:
    """Sends chunks without choices between its tokens -> the answer"""
    script = script_of(asked)
    odd = [b'{"choices":null}', b'{"choices":[]}', b'{"object":"chat.completion.chunk"}', b'{"choices":[{"index":0}]}']
    for place, data in enumerate(odd):
        script.steps.insert(3 + 2 * place, Step(0.0, encode_sse(data)))
    return script


def surrogates(asked: Asked, _: int) -> Script:
    """Cuts an emoji between the two halves of its JSON escape -> the answer"""
    script = script_of(asked)
    half = chunk(asked, {"content": "~"})
    pair = [Step(0.0, encode_sse(half.replace(b"~", code)), 1) for code in (b"\\ud83c", b"\\udf0a")]
    script.steps[3:3] = pair
    return script


def unfinished_json(asked: Asked, _: int) -> Script:
    """Says finish reason null throughout, and sends [DONE] after an answer of plain length -> an error event"""
    script = script_of(asked)
    script.steps[place_of_finish(script)] = Step(0.0, encode_sse(chunk(asked, {}, None)))
    return script


EVENT_FAULTS: Final[dict[str, Callable[[Asked, int], Script]]] = {
    "empty": empty,
    "only-comments": only_comments,
    "endless-comments": endless_comments,
    "only-done": only_done,
    "only-role": only_role,
    "error-string": error_string,
    "error-named": error_named,
    "error-then-done": error_then_done,
    "error-finish": error_finish,
    "error-first": error_first,
    "error-body": error_body,
    "text-body": text_body,
    "untyped": untyped,
    "bom": bom,
    "no-space": _rewritten(
        lambda data: data.replace(b"data: ", b"data:"), 'Leaves out the space behind "data:" -> the answer'
    ),
    "multi-line": _rewritten(
        lambda data: data.replace(b',"choices"', b',\ndata: "choices"'),
        "Spreads each event over two data lines -> the answer",
    ),
    "unknown-fields": _rewritten(
        lambda data: b"x-note: tide\nretry: 3000\n" + data, "Sends fields that nobody knows -> the answer"
    ),
    "burst": burst,
    "after-done": after_done,
    "twice-done": twice_done,
    "twice-finished": twice_finished,
    "one-choice-cut": one_choice_cut,
    "tool-call-cut": tool_call_cut,
    "null-choices": null_choices,
    "surrogates": surrogates,
    "null-finish": unfinished_json,
}
