"""What a gateway need not carry."""

from __future__ import annotations

import sys

__all__ = ["import_structlog"]


def import_structlog() -> None:
    """structlog without rich, which it imports where it is installed, for tracebacks that a gateway never shows (they
    hold prompts): 4 MB. Whoever wants rich afterwards gets it.
    """
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment] # to the import system: there is none
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
