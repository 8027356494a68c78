"""PURE. When a reader sees the first thing: perceived latency ends there, not at the first byte."""

from __future__ import annotations

from typing import Protocol

__all__ = ["PlainText", "Screen"]


class Screen(Protocol):
    """What stands between text and eyes, for one answer. Times are ``time.monotonic``."""

    @property
    def visible_at(self) -> float | None:
        """When the first of the text was to be seen; ``None`` until then. It may come later than :meth:`show`."""

    def show(self, text: str, now: float) -> None:
        """More text came, at ``now``."""

    def close(self) -> None:
        """No more comes: what is still to be drawn is drawn now."""


class PlainText:
    """A terminal that prints what comes: anything but white space is visible, at once. It takes no time to draw."""

    __slots__ = ("visible_at",)

    def __init__(self) -> None:
        self.visible_at: float | None = None

    def show(self, text: str, now: float) -> None:
        if self.visible_at is None and text and not text.isspace():
            self.visible_at = now

    def close(self) -> None:
        """Nothing is held back."""
