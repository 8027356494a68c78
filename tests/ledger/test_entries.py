"""ledger/entries.py: what stands in the spool."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from tests.ledger.rows import begun, ended, leg_row, seen
from tidegate.ledger.entries import LegRow, Seen, clean, decode, digest, encode, tags_json
from tidegate.ledger.tables import legs
from tidegate.ledger.tables import seen as seen_table


def test_a_legs_fields_are_the_tables_columns_in_order() -> None:
    assert [field.name for field in msgspec.structs.fields(LegRow)] == [column.name for column in legs.columns]
    assert [field.name for field in msgspec.structs.fields(Seen)] == [column.name for column in seen_table.columns]


@pytest.mark.parametrize("item", [begun(1), ended(2), ended(3, cost=None, ttft=None, safety='{"email":1}'), seen(4)])
def test_what_is_encoded_is_decoded(item: object) -> None:
    line = encode(item)  # type: ignore[arg-type]
    assert b"\n" not in line
    assert decode(line) == item


def test_the_digest_tells_every_column() -> None:
    row = leg_row(1)
    changed = [
        digest(msgspec.structs.replace(row, **{field.name: 7 if field.type is not str else "x"}))
        for field in msgspec.structs.fields(LegRow)
    ]
    assert digest(row) not in changed
    assert digest(row) == digest(leg_row(1))


@pytest.mark.parametrize(
    ("text", "kept"), [(None, None), ("stop", "stop"), ("a\x00b", "ab"), ("\ud800", "?"), ("x" * 1000, "x" * 256)]
)
def test_a_word_of_somebody_else_fits_every_database(text: str | None, kept: str | None) -> None:
    assert clean(text) == kept


def test_tags_are_an_object_with_sorted_names() -> None:
    assert tags_json({"team": "blue", "cost": "1"}) == '{"cost":"1","team":"blue"}'
    assert tags_json((("a", "b"),)) == '{"a":"b"}'
    assert tags_json(()) == tags_json(None) == "{}"


def test_a_row_without_a_verdict_has_the_digest_that_it_had_before_there_were_any() -> None:
    row = leg_row(1, safety='{"email":1}')
    first = msgspec.structs.astuple(row)[:31]
    assert len(msgspec.structs.fields(LegRow)) == 32
    assert digest(row) == hashlib.sha256(msgspec.json.encode(first)).hexdigest()
    assert digest(msgspec.structs.replace(row, validation='{"valid":true}')) != digest(row)
    bare = leg_row(1)
    assert digest(bare) == hashlib.sha256(msgspec.json.encode(msgspec.structs.astuple(bare)[:31])).hexdigest()
