"""Ordinary texts that are on every machine with a checkout: prose, markdown, code; and how a model would cut them."""

from __future__ import annotations

import re
import sysconfig
from importlib import metadata
from pathlib import Path

__all__ = ["code", "markdown", "prose", "sentences", "tokens"]

ROOT = Path(__file__).resolve().parents[2]
TOKEN = re.compile(r" ?[A-Za-z]{1,8}| ?[^\W\d_]+|\d{1,3}| ?[^\w\s]{1,3}|\s+|_+")
"""About what a tokenizer of today does: words with their space (long ones in two), digits by threes, signs. 4.5
characters a token on English."""


def prose(size: int = 100_000) -> str:
    """English without markup: licences as Debian ships them, and paragraphs of our own documentation."""
    texts = [
        path.read_text("utf-8", "replace")
        for path in sorted(Path("/usr/share/common-licenses").glob("*"))
        if not path.is_symlink()
    ]
    texts += [re.sub(r"```.*?```", "", path.read_text(), flags=re.S) for path in sorted((ROOT / "docs").rglob("*.md"))]
    return "\n\n".join(texts)[:size]


def markdown(size: int = 200_000) -> str:
    """Descriptions of installed distributions."""
    texts = [str(each.metadata.get_payload()) for each in sorted(metadata.distributions(), key=lambda each: each.name)]
    return "\n\n".join(texts)[:size]


def code(size: int = 200_000) -> str:
    """Python of the standard library."""
    folder = Path(sysconfig.get_path("stdlib"))
    return "\n".join((folder / name).read_text() for name in CODE)[:size]


CODE = (
    "argparse.py",
    "ast.py",
    "contextlib.py",
    "dataclasses.py",
    "functools.py",
    "pathlib.py",
    "shutil.py",
    "socket.py",
)


def tokens(text: str) -> list[str]:
    """The text cut."""
    found = TOKEN.findall(text)
    assert "".join(found) == text
    return found


def sentences(text: str) -> list[str]:
    """By punctuation and blank lines."""
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n\s*\n", text) if part.strip()]
