"""Three gateway processes, one Redis, a thousand keys, two hundred streams at a time; one process is killed.

What is counted here is strictly inside of what the gateways count: a stream is live from its head, which comes after
its admission, until just before its reader hangs up. So whatever is too much here was too much there.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e.faces import SSE, question
from tests.fakes.gateway import run, until
from tests.fakes.limited import bearing
from tests.fakes.reader import Reader, request_bytes
from tests.fakes.redis import RedisServer
from tidegate.ledger.database import Database
from tidegate.ledger.keys import KeyRow, KeyStore
from tidegate.policy.keys import keyed_hash, new_key

KEYS, HOT, AT_ONCE, REQUESTS = 1000, 20, 200, 1500
CONCURRENT, RPM = 3, 40

CONFIG = """
[server]
port = 0
[auth]
anonymous = false
[ledger]
url = "sqlite:///{folder}/tidegate.db"
spool = "{folder}/spool"
[shared]
redis = "{redis}"
redis_timeout = 20.0
lease = 2.0
[[upstream]]
name = "model"
base_url = "{model}"
max_connections = 1000
"""


@contextmanager
def process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """``tidegate …`` and the port that it says it listens on."""
    started = subprocess.Popen(
        [sys.executable, "-m", "tidegate", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert started.stdout is not None
    try:
        url = next(match[0] for line in started.stdout if (match := re.search(r"http://[\d.]+:\d+", line)))
        yield started, urlsplit(url).port or 0
    finally:
        started.kill()
        started.wait(20)
        started.stdout.close()


class Crowd:
    """Readers of all kinds, and what each key was given."""

    def __init__(self, ports: list[int], keys: list[str]) -> None:
        self.ports = ports
        self.keys = keys
        self.live: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.admitted: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.left = REQUESTS
        self._rand = random.Random(1)

    async def reader(self) -> None:
        while self.left > 0:
            self.left -= 1
            hot = self._rand.random() < 0.6
            key = self._rand.choice(self.keys[:HOT] if hot else self.keys)
            await self.one(key, self._rand.choice(self.ports), self._rand.random() * 0.6)

    async def open(self, key: str, port: int) -> Reader | None:
        reader = await Reader.connect(port)
        reader.send(request_bytes(SSE, json.dumps(question("m")).encode(), bearing(key)))
        status = await reader.head()
        if status == 200:
            self.live[key] += 1
            self.most[key] = max(self.most[key], self.live[key])
            self.admitted[key] += 1
            return reader
        await reader.rest()
        await reader.close()
        assert status == 429, reader.body
        self.refused["streams" if b"at the same time" in reader.body else "requests"] += 1
        return None

    def leave(self, key: str, reader: Reader) -> None:
        self.live[key] -= 1
        reader.hang_up()

    async def one(self, key: str, port: int, seconds: float) -> None:
        reader = await self.open(key, port)
        if reader is not None:
            await asyncio.sleep(seconds)
            self.leave(key, reader)


def slots(redis: RedisServer) -> int:
    """Streams that Redis knows of."""
    with redis.client() as client:
        return sum(int(client.scard(name)) for name in client.scan_iter("{tidegate}:s:*", count=1000))


def test_no_key_ever_has_more_than_it_may_and_everything_comes_back() -> None:
    folder = Path(tempfile.mkdtemp(prefix="tg-shared-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        redis = RedisServer(folder)
        stack.callback(redis.kill)
        redis.start()
        keys = made(folder)
        _, model = stack.enter_context(process("simulate", "--port", "0", "--tokens", "2000", "--tps", "5"))
        config = folder / "tidegate.toml"
        config.write_text(CONFIG.format(folder=folder, redis=redis.url, model=f"http://127.0.0.1:{model}/v1"))
        gateways = [stack.enter_context(process("serve", "--config", str(config))) for _ in range(3)]
        run(crowded(gateways, keys, redis))


def made(folder: Path) -> list[str]:
    database = Database(f"sqlite:///{folder / 'tidegate.db'}")
    database.open()
    store = KeyStore(database)
    secret = store.secret()
    keys = [new_key() for _ in range(KEYS)]
    for number, key in enumerate(keys):
        row = KeyRow(id=f"key-{number}", name="app", rpm=RPM, concurrent=CONCURRENT)
        store.create(row, keyed_hash(secret, key), actor="test")
    database.close()
    return keys


async def crowded(gateways: list[tuple[subprocess.Popen[str], int]], keys: list[str], redis: RedisServer) -> None:
    ports = [port for _, port in gateways]
    crowd = Crowd(ports, keys)
    await asyncio.gather(*(crowd.reader() for _ in range(AT_ONCE)))
    assert max(crowd.most.values()) == CONCURRENT
    assert max(crowd.admitted.values()) <= RPM
    assert crowd.refused["streams"] > 0
    assert sum(crowd.admitted.values()) + sum(crowd.refused.values()) == REQUESTS
    await until(lambda: slots(redis) == 0, 20)

    # One is killed with streams on it: those of the others go on, and its own are free once its lease has run out.
    fresh = keys[HOT : HOT + 4]
    held = [(key, await crowd.open(key, port)) for key in fresh for port in ports]
    assert all(reader is not None for _, reader in held)
    assert [await crowd.open(key, ports[0]) for key in fresh] == [None] * len(fresh)
    gateways[0][0].kill()
    gateways[0][0].wait(20)
    for key, reader in held[::3]:
        assert reader is not None
        await reader.rest()
        assert not reader.whole
        crowd.live[key] -= 1
        await reader.close()
    for key in fresh:
        again = None
        while again is None:
            again = await crowd.open(key, ports[1])
            await asyncio.sleep(0.05)
        assert await crowd.open(key, ports[2]) is None
        crowd.leave(key, again)
    assert max(crowd.most.values()) == CONCURRENT
    for position, (key, reader) in enumerate(held):
        if position % 3:
            assert reader is not None
            crowd.leave(key, reader)
    await asyncio.sleep(0)  # the connections are closed in the next turn
    await until(lambda: slots(redis) == 0, 20)
