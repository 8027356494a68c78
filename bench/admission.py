"""What keys, limits, budgets and the ledger cost: CPU of an admission, and of a token with everything on against off.

    python -m bench.admission              # about three minutes
    python -m bench.admission --quick      # one round of the tokens

The admissions are what :class:`tidegate.server.admission.Admission` does for one stream from its beginning to its end,
in this process, on the process's CPU clock; over Redis when ``redis-server`` is there. The tokens go through gateways
that are processes of their own, interleaved, and the ratio is taken within each round (README.md says how).
"""

from __future__ import annotations

import argparse
import asyncio
import math
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from bench.measure import measure, start_relay, upstream_server
from bench.relays import RELAYS
from bench.shapes import Shape
from tidegate.ledger.database import Database
from tidegate.ledger.keys import KeyRow
from tidegate.policy.budgets import Budget
from tidegate.policy.keys import Principal, keyed_hash, new_key
from tidegate.policy.meters import Meters, Quota
from tidegate.policy.options import LimitOptions, ModelLimit, TagLimit
from tidegate.relay.registry import Registry
from tidegate.server.admission import Admission, Price
from tidegate.server.keyring import KeyRing
from tidegate.server.spending import Spending
from tidegate.shared.limits import RedisScript, SharedLimits
from tidegate.shared.options import SharedOptions
from tidegate.telemetry.admission import AdmissionMetrics
from tidegate.telemetry.record import StreamRecord
from tidegate.wire.chat_request import parse_chat_request

MOST = 1_000_000_000
TIMES = 5000
BODY = b'{"model":"gpt-4o","stream":true,"max_tokens":400,"messages":[{"role":"user","content":"%s"}]}' % (
    b"tide " * 100
)
RECORD = StreamRecord(
    stream_id="x", client="k", model="gpt-4o", reason="stop", accepted_at=0.0, duration=1.0, tokens=100
)
LIMITS = LimitOptions(
    rpm=MOST,
    tpm=MOST,
    concurrent=MOST,
    tags=(TagLimit(tag="team=*", rpm=MOST, tpm=MOST, concurrent=MOST),),
    models=(ModelLimit(model="*", rpm=MOST, tpm=MOST, concurrent=MOST),),
)
KEY = Quota(rpm=MOST, tpm=MOST, concurrent=MOST)
TAGS = (("team", "search"),)
LONG = Shape(50, 1000, 0.01, batches=1, ramp=0.25)
SHORT = Shape(50, 100, 0.01, batches=3, ramp=0.25)


class Costs:
    """One price for everything."""

    def expected(self, _: str) -> Price:
        return Price(2500.0, 10_000.0)

    def of(self, *_: Any) -> int:
        return 1_000_000


def gate(limits: LimitOptions, shared: SharedLimits | None = None) -> Admission:
    return Admission(
        Meters(limits), AdmissionMetrics(CollectorRegistry()), Spending(lambda *_: 0), shared=shared, cost=Costs()
    )


async def cpu(times: int, one: Callable[[], Awaitable[None]]) -> float:
    """Microseconds of one."""
    for _ in range(200):
        await one()
    found = []
    for _ in range(5):
        before = time.process_time()
        for _ in range(times // 5):
            await one()
        found.append((time.process_time() - before) / (times // 5) * 1e6)
    return statistics.median(found)


def stream(admission: Admission, who: Principal) -> Callable[[], Awaitable[None]]:
    request = parse_chat_request(BODY)

    async def one() -> None:
        if admission.concerns(who):
            (await admission.enter(who, request)).ended(RECORD)

    return one


async def admissions() -> None:
    print("| admission and settlement | CPU µs per stream |\n|---|---|")
    budget = Quota(MOST, MOST, MOST, Budget(MOST * 1_000_000, "day"))
    for name, limits, quota, tags in (
        ("no limits", LimitOptions(), Principal("x").quota, ()),
        ("a key with rpm, tpm, concurrent", LimitOptions(), KEY, ()),
        ("and a budget", LimitOptions(), budget, ()),
        ("and the same limits of a tag, the model and the gateway", LIMITS, budget, TAGS),
    ):
        who = Principal("key-1", quota=quota, tags=tags)
        print(f"| {name} | {await cpu(TIMES, stream(gate(limits), who)):.1f} |")
    print(f"| looking up a virtual key (SQLite) | {await look_up():.1f} |")
    if shutil.which("redis-server"):
        await over_redis(Principal("key-1", quota=budget, tags=TAGS))


async def look_up() -> float:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/tidegate.db")
        ring = KeyRing(database, None, Registry())
        token = new_key()
        await ring.find(token)
        row = KeyRow(id="key-1", name="x", rpm=5, tags={"a": "b"})
        ring.store.create(row, keyed_hash(await ring._key(), token), actor="bench")

        async def one() -> None:
            assert await ring.find(token)

        found = await cpu(TIMES, one)
        await ring.close()
        database.close()
        return found


async def over_redis(who: Principal) -> None:
    entered, settled, round_trip = await redis_admissions(who)
    print(f"| the last of these over Redis: one call to admit | {entered:.1f} |")
    print(f"| and one to settle | {settled:.1f} |")
    print(f"\nOver Redis an admission takes {round_trip:.0f} µs from beginning to end, one stream after another.")


async def redis_admissions(who: Principal) -> tuple[float, float, float]:
    """Microseconds over a Redis of our own: CPU to admit, CPU to settle, and what an admission takes in all."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "redis.sock"
        server = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs here
            ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            while not path.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            options = SharedOptions(redis_timeout=5.0)
            shared = SharedLimits(options, RedisScript(f"unix://{path}", options))
            admission = gate(LIMITS, shared)
            request = parse_chat_request(BODY)
            found: list[tuple[float, float, float]] = []
            for _ in range(6):
                before, began = time.process_time(), time.perf_counter()
                entries = [await admission.enter(who, request) for _ in range(200)]
                entered, took = time.process_time(), time.perf_counter() - began
                for entry in entries:
                    entry.ended(RECORD)
                    await asyncio.sleep(0)
                while shared._tasks:  # noqa: ASYNC110
                    await asyncio.sleep(0)
                after = time.process_time()
                found.append(tuple(each / 200 * 1e6 for each in (entered - before, after - entered, took)))  # type: ignore[arg-type]
            await shared.close()
            middle = [statistics.median(each) for each in zip(*found[1:], strict=True)]
            return middle[0], middle[1], middle[2]
        finally:
            server.terminate()
            server.wait()


def tokens(rounds: int) -> None:
    off, on = RELAYS["tidegate"], RELAYS["tidegate-on"]
    print("\n| shape | off, CPU µs/token | on | ratio |\n|---|---|---|---|")
    with ExitStack() as stack:
        upstream = stack.enter_context(upstream_server())
        running = [stack.enter_context(start_relay(relay, upstream)) for relay in (off, on)]
        for each in running:
            each.freeze()
        for shape in (LONG, SHORT):
            found: list[list[float]] = [[], []]
            for number in range(rounds):
                for position, each in enumerate(running):
                    each.thaw()
                    measured = measure(each, shape, number)
                    each.freeze()
                    assert not measured.broken, measured.problems
                    found[position].append(measured.cpu_per_token * 1e6)
            ratio = statistics.median(b / a for a, b in zip(*found, strict=True))
            middle = [statistics.median(values) for values in found]
            assert not math.isnan(ratio)
            print(f"| {shape.name} | {middle[0]:.2f} | {middle[1]:.2f} | {ratio:.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one round of the tokens")
    parser.add_argument("--no-tokens", action="store_true", help="the admissions only")
    options = parser.parse_args()
    asyncio.run(admissions())
    if not options.no_tokens:
        tokens(1 if options.quick else 5)


if __name__ == "__main__":
    main()
