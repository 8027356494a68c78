"""PURE. Prompts from a file: one a line, as text or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tidegate.errors import InvalidRequest

__all__ = ["prompts_of"]


def prompts_of(text: str, name: str = "prompts") -> tuple[tuple[Mapping[str, Any], ...], ...]:
    """The messages of each line: ``{"messages": […]}``, ``{"prompt": "…"}``, an OpenAI batch line, or plain text.

    :raises InvalidRequest: there is none, or a line that begins like JSON is not a prompt; ``name`` and the line's
        number say which, never what it holds.
    """
    found = [
        tuple(_messages(line.strip(), f"{name}, line {number}"))
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip()
    ]
    if not found:
        raise InvalidRequest(f"{name}: no prompt in it.")
    return tuple(found)


def _messages(line: str, where: str) -> list[Mapping[str, Any]]:
    if not line.startswith("{"):
        return [{"role": "user", "content": line}]
    try:
        document = json.loads(line)
    except ValueError:
        raise InvalidRequest(f"{where}: not JSON.") from None
    body = document.get("body")
    document = body if isinstance(body, dict) else document
    if isinstance(document.get("prompt"), str):
        return [{"role": "user", "content": document["prompt"]}]
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
        raise InvalidRequest(f'{where}: neither "messages" nor "prompt" in it.')
    return messages
