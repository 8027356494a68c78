"""PURE. The shape that nearly every event of one stream has, learnt from one of them.

A model server writes each token's event from the same template: only the text differs. Once an event is known to be
``prefix + text + suffix``, the next one is recognised with two comparisons and one scan of its text, which is about a
tenth of decoding it. Nothing is guessed: a template is accepted only when the same event with ``x`` for its text
decodes to exactly one token that says ``x`` and nothing else, and a text is accepted only when it cannot end its JSON
string early (no quote, no backslash, no control character).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from tidegate.wire.openai_chat import Chunk, MalformedChunk, decode_chunk, error_of, has_token, usage_of

__all__ = ["NEVER", "PLAIN", "Template", "learn"]

PLAIN: Final = re.compile(rb'[^"\\\x00-\x1f]+')
"""JSON string content that stands for itself. Whether it is UTF-8 is another question."""

_FIELDS: Final = ("content", "reasoning_content", "reasoning")
_STRINGS: Final = {name: re.compile(rb'"%b": ?"((?:[^"\\\x00-\x1f]|\\.)+)"' % name.encode()) for name in _FIELDS}
_PROBE: Final = "x"


class Template(NamedTuple):
    """An event without its blank line: ``prefix`` + plain text + ``suffix``."""

    prefix: bytes
    suffix: bytes


NEVER: Final = Template(b"\x00", b"\x00")
"""Matches no event: the state before anything was learnt."""


def learn(block: bytes, payload_at: int, chunk: Chunk) -> Template | None:
    """The template of an event, or ``None`` when it is not that simple.

    :param block: the whole event, ``data:`` and all, without its blank line.
    :param payload_at: where its JSON begins.
    :param chunk: what the JSON decoded to: a chunk with a token.
    """
    if len(chunk.choices) != 1:
        return None
    delta = chunk.choices[0].delta
    for name in _FIELDS:
        if isinstance(getattr(delta, name), str):
            for match in _STRINGS[name].finditer(block, payload_at):
                found = Template(block[: match.start(1)], block[match.end(1) :])
                if _holds(found, payload_at, name, chunk):
                    return found
    return None


def _holds(template: Template, payload_at: int, name: str, chunk: Chunk) -> bool:
    try:
        probe = decode_chunk(template.prefix[payload_at:] + _PROBE.encode() + template.suffix)
    except MalformedChunk:
        return False
    if len(probe.choices) != 1 or has_token(probe) != 1 or usage_of(probe) is not None or error_of(probe) is not None:
        return False
    choice = probe.choices[0]
    return getattr(choice.delta, name) == _PROBE and not choice.finish_reason and choice.index == chunk.choices[0].index
