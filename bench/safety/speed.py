"""Microseconds a token, characters held, and the worst that an adversary can do."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable

from bench.safety.texts import code, markdown, prose, tokens
from tidegate.safety import Machine, TextFilter, compile  # noqa: A004 # as re.compile
from tidegate.safety.builtin.deny import DENY
from tidegate.safety.builtin.pii import PII
from tidegate.safety.builtin.secrets import SECRETS

__all__ = ["adversaries", "everything", "speed"]

ADVERSARIES = [
    "a", "1", "1 ", "1-", "4111 ", "4111-", "4", "+1 ", "1.", "1:", ":", "AA00 ", "de8", "a@b.", "a.b@c.d ",
    "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "eyJhbGciOi.", "a\u200b", "潮", "🌊", "0xabcdef", "bc1q", "3J", "sk-",
    "(212) ", "https://a:", "xoxb-1234567890-", "bearer ", "born on ", "ignore all ",
]  # fmt: skip


def everything() -> Machine:
    """Every rule that comes along."""
    return compile([*SECRETS.values(), *PII.values(), *DENY.values()])


def clock(work: Callable[[], object]) -> float:
    """CPU seconds."""
    began = time.process_time()
    work()
    return time.process_time() - began


def fed(machine: Machine, pieces: list[str]) -> float:
    """Microseconds of CPU a piece."""

    def work() -> None:
        feed = TextFilter(machine, key=b"bench").feed
        for piece in pieces:
            feed(piece)

    return clock(work) / len(pieces) * 1e6


def speed() -> list[dict[str, object]]:
    """By text: the very first half of it, the other half unseen, all of it again; and what was held."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows: list[dict[str, object]] = []
    for name, text in (("prose", prose()), ("markdown", markdown()), ("code", code())):
        pieces = tokens(text)
        began = time.process_time()
        machine = everything()
        ready = time.process_time() - began
        half = len(pieces) // 2
        first, unseen = fed(machine, pieces[:half]), fed(machine, pieces[half:])
        warm = min(fed(machine, pieces) for _ in range(3))
        stream = TextFilter(machine, key=b"bench")
        held = [stream.held for piece in pieces if stream.feed(piece) is not None]
        frame = json.dumps(
            {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"content": " tide"}, "finish_reason": None}]}
        )
        yardstick = (
            min(clock(lambda frame=frame: [json.loads(frame) for _ in range(20_000)]) for _ in range(3)) / 20_000
        )  # type: ignore[misc]
        rows.append(
            {
                "text": name,
                "tokens": len(pieces),
                "start ms": ready * 1e3,
                "first µs": first,
                "unseen µs": unseen,
                "warm µs": warm,
                "json.loads of a chunk µs": yardstick * 1e6,
                "held mean": sum(held) / len(held),
                "held p99": sorted(held)[len(held) * 99 // 100],
                "held max": max(held),
                "in the same token %": 100 * sum(not each for each in held) / len(held),
                "states/situations/memo": "/".join(map(str, machine.learnt)),
            }
        )
    rows[-1]["grown MB, all three"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return rows


def adversaries(size: int = 20_000) -> list[dict[str, object]]:
    """Microseconds a character of what is meant to be slow, in single characters and in fives; the most held."""
    machine = everything()
    rows: list[dict[str, object]] = []
    for unit in ADVERSARIES:
        text = (unit * size)[:size]
        worst, most = 0.0, 0
        for step in (1, 5, size):
            pieces = [text[at : at + step] for at in range(0, size, step)]
            worst = max(worst, fed(machine, pieces) * len(pieces) / size)
        stream = TextFilter(machine, key=b"bench")
        for at in range(0, size, 5):
            stream.feed(text[at : at + 5])
            most = max(most, stream.held)
        rows.append({"text": repr(unit), "worst µs/char": worst, "held max": most})
    return sorted(rows, key=lambda row: -float(str(row["worst µs/char"])))[:10]
