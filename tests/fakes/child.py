"""Ending a program that a test has started."""

from __future__ import annotations

import asyncio

__all__ = ["end"]


async def end(process: asyncio.subprocess.Process) -> None:
    """Ask it to end; killed, nginx would leave its workers behind. One that does not is killed all the same."""
    try:
        process.terminate()
        await asyncio.wait_for(process.wait(), 60)
    except ProcessLookupError:
        pass
    except TimeoutError:
        process.kill()
        await process.wait()
