"""PURE. A request as the relay sees it, whatever call it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

__all__ = ["Request"]


class Request(Protocol):
    """What goes to an upstream, and what is told of it."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str:
        """Behind the upstream's base URL."""

    @property
    def model(self) -> str:
        """As the client named it; empty when the call has none."""

    @property
    def stream(self) -> bool: ...

    @property
    def include_usage(self) -> bool:
        """Token counts need not be asked for."""

    @property
    def once(self) -> bool:
        """It must not be sent twice."""

    @property
    def operation(self) -> str:
        """What is done, in a word, for metrics."""

    @property
    def fields(self) -> Mapping[str, msgspec.Raw]:
        """Of its JSON."""

    @property
    def body(self) -> bytes:
        """Its text."""

    def upstream_body(self, model: str, *, add_usage: bool = False) -> bytes:
        """The body for the upstream, under its own name of the model."""
