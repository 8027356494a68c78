"""The HTTP face of the gateway: an ASGI application, and uvicorn with a fast path under it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidegate.server.app import create_app

__all__ = ["create_app"]


def __getattr__(name: str) -> Any:
    # The options of this room are read by commands that never serve: they must not pay for Starlette and uvicorn.
    if name == "create_app":
        from tidegate.server.app import create_app

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
