"""A replayed event is recognised by its id and its data together."""

from __future__ import annotations

from tidegate.wire.replay import EventIds


def test_an_id_with_the_same_data_is_a_replay() -> None:
    ids = EventIds()
    assert not ids.repeated("1", b"a")
    assert not ids.repeated("2", b"a")
    assert ids.repeated("1", b"a")
    assert ids.repeated("2", b"a")


def test_an_id_that_comes_with_other_data_names_no_event() -> None:
    """The stream numbers something else, and is never deduplicated again."""
    ids = EventIds()
    assert not ids.repeated("1", b"a")
    assert not ids.repeated("1", b"b")
    assert not ids.repeated("2", b"a")
    assert not ids.repeated("2", b"a")


def test_one_id_for_a_whole_stream_is_not_an_id_of_events() -> None:
    ids = EventIds()
    assert [ids.repeated("stream", b"-r") for _ in range(3)] == [False, False, False]


def test_an_empty_id_says_nothing() -> None:
    ids = EventIds()
    assert [ids.repeated("", b"a") for _ in range(2)] == [False, False]


def test_only_the_last_ids_are_remembered() -> None:
    ids = EventIds()
    for number in range(2000):
        assert not ids.repeated(str(number), b"a")
    assert ids.repeated("1999", b"a")
    assert not ids.repeated("0", b"a")
