"""events.py: frozen values without cycles, compared by what they hold."""

from __future__ import annotations

import gc
from typing import get_args

import msgspec
import pytest

from tidegate import events
from tidegate.events import Event

KINDS = get_args(Event)


def made(kind: type[msgspec.Struct]) -> msgspec.Struct:
    required = {field.name: "x" if field.type is str else 0 for field in msgspec.structs.fields(kind) if field.required}
    return kind(**required)


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_is_a_frozen_value(kind: type[msgspec.Struct]) -> None:
    event = made(kind)
    assert event == made(kind)
    assert hash(event) == hash(made(kind))
    assert not gc.is_tracked(event), "a million of them must cost the collector nothing"
    with pytest.raises(AttributeError):
        setattr(event, kind.__struct_fields__[0], "changed")


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_survives_its_encoding(kind: type[msgspec.Struct]) -> None:
    event = made(kind)
    assert msgspec.json.decode(msgspec.json.encode(event), type=kind) == event


def test_every_event_is_exported() -> None:
    assert {kind.__name__ for kind in KINDS} | {"Event"} == set(events.__all__)
