"""Texts cut at places that hypothesis chooses."""

from __future__ import annotations

from hypothesis import strategies as st

__all__ = ["cut_anywhere"]


def cut_anywhere(text: str, data: st.DataObject) -> list[str]:
    """The text in pieces, none of them empty."""
    pieces, at = [], 0
    while at < len(text):
        size = data.draw(st.integers(1, len(text) - at))
        pieces.append(text[at : at + size])
        at += size
    return pieces
