"""A gateway with an admin, a ledger of its own and prices, and a client that makes and uses keys."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.e2e.faces import SSE, question
from tests.fakes.gateway import Rig, rig, simulator_options
from tests.fakes.reader import Reader, ask, request_bytes
from tidegate.ledger.options import LedgerOptions
from tidegate.policy.keys import hash_key, new_key
from tidegate.policy.options import AuthOptions, PriceOptions, StaticKey
from tidegate.shared.options import SharedOptions

__all__ = ["ADMIN", "Gate", "bearing", "gate"]

ADMIN = new_key()


class Gate:
    """A gateway with one admin, and a client of it."""

    def __init__(self, found: Rig) -> None:
        self.rig = found

    async def key(self, **spec: Any) -> dict[str, Any]:
        answer = await self.admin("POST", "/admin/keys", {"name": "app", **spec})
        assert answer.status == 201, answer.body
        made: dict[str, Any] = json.loads(answer.body)
        return made

    async def admin(self, method: str, path: str, body: Any = None) -> Reader:
        return await ask(self.rig.port, path, body, bearing(ADMIN), method)

    async def ask(self, key: str, model: str = "sim/default", path: str = SSE, **fields: Any) -> Reader:
        return await ask(self.rig.port, path, question(model, **fields), bearing(key))

    async def open(self, key: str, model: str = "sim/default?tokens=5000") -> Reader:
        """A stream, and its first token; tried again while the one before it is on its way out."""
        for _ in range(400):
            reader = await Reader.connect(self.rig.port)
            reader.send(request_bytes(SSE, json.dumps(question(model)).encode(), bearing(key)))
            if await reader.head() == 200:
                await reader.until(b'"content":"T')
                return reader
            await reader.rest()
            await reader.close()
            await asyncio.sleep(0.05)
        raise AssertionError(f"no stream: {reader.body!r}")

    async def metric(self, name: str) -> dict[str, float]:
        body = (await ask(self.rig.port, "/metrics", None, method="GET")).body.decode()
        rows = (line.rpartition(" ") for line in body.splitlines() if line.startswith(name))
        return {label.removeprefix(name): float(value) for label, _, value in rows}


def bearing(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@asynccontextmanager
async def gate(
    *, fast: bool = True, keys: tuple[StaticKey, ...] = (), redis: str = "", **sections: Any
) -> AsyncIterator[Gate]:
    folder = Path(tempfile.mkdtemp(prefix="tg-limits-"))
    admin = StaticKey(id="root", hash=hash_key(ADMIN), admin=True)
    given = {
        "ledger": LedgerOptions(url=f"sqlite:///{folder / 'tidegate.db'}", spool=str(folder / "spool")),
        "prices": (PriceOptions(model="sim/priced*", input=1.0, output=1000.0),),
        "shared": SharedOptions(redis=redis, prefix=folder.name, redis_timeout=20.0),
        **sections,
    }
    try:
        auth = AuthOptions(keys=(admin, *keys))
        simulated = simulator_options(tokens=0)
        async with rig(fast=fast, auth=auth, sections=given, simulated=simulated, api_keys=()) as found:
            yield Gate(found)
    finally:
        shutil.rmtree(folder)
