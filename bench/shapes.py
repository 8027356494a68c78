"""The shapes of load: streams x tokens x interval."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SHAPES", "Shape"]


@dataclass(frozen=True)
class Shape:
    """``batches`` full batches are one measurement: enough tokens that a percent is not noise."""

    streams: int
    tokens: int
    interval: float
    batches: int
    ramp: float

    @property
    def name(self) -> str:
        """As on the command line and in the tables: ``50x100x10ms``."""
        return f"{self.streams}x{self.tokens}x{self.interval * 1000:g}ms"

    @property
    def total(self) -> int:
        """Tokens of one measurement."""
        return self.streams * self.tokens * self.batches


SHAPES: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape(50, 100, 0.01, batches=3, ramp=0.25),
        Shape(500, 100, 0.02, batches=1, ramp=0.25),
        Shape(2000, 60, 0.05, batches=1, ramp=1.0),
        Shape(50, 1000, 0.0002, batches=2, ramp=0.02),
    )
}
