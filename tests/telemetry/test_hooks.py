"""telemetry/hooks.py: several sinks as one."""

from __future__ import annotations

import structlog

from tests.telemetry.records import record
from tidegate.telemetry.hooks import Hooks
from tidegate.telemetry.record import StreamHook, StreamRecord


class Sink:
    def __init__(self) -> None:
        self.heard: list[object] = []

    def opened(self) -> None:
        self.heard.append("opened")

    def ended(self, record: StreamRecord) -> None:
        self.heard.append(record)


class Broken(Sink):
    def opened(self) -> None:
        raise OSError("disk full")

    def ended(self, record: StreamRecord) -> None:
        raise RuntimeError("still")


def test_every_hook_is_told_in_turn() -> None:
    sinks, ended = [Sink(), Sink()], record()
    hooks: StreamHook = Hooks(sinks)
    hooks.opened()
    hooks.ended(ended)
    assert [sink.heard for sink in sinks] == [["opened", ended]] * 2


def test_no_hook_at_all_is_fine() -> None:
    Hooks().opened()
    Hooks().ended(record())


def test_a_hook_that_raises_is_logged_once_and_the_others_are_told() -> None:
    after = Sink()
    hooks = Hooks((Broken(), after))
    with structlog.testing.capture_logs() as entries:
        hooks.opened()
        hooks.ended(record())
        hooks.ended(record())
    assert [(entry["event"], entry["hook"], entry["log_level"]) for entry in entries] == [
        ("telemetry.hook_failed", "Broken", "error")
    ]
    assert isinstance(entries[0]["exc_info"], OSError)
    assert len(after.heard) == 3


def test_each_broken_hook_has_its_own_line() -> None:
    hooks = Hooks((Broken(), Broken()))
    with structlog.testing.capture_logs() as entries:
        hooks.ended(record())
    assert len(entries) == 2


def test_a_broken_log_does_not_reach_the_stream_either() -> None:
    def broken(*_: object) -> None:
        raise OSError("no stderr")

    structlog.configure(processors=[broken])  # type: ignore[list-item]
    try:
        Hooks((Broken(),)).ended(record())
    finally:
        structlog.reset_defaults()
