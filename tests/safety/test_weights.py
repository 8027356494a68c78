"""Files of weights: what was packed comes back, and what is none is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tidegate.safety
from tidegate.safety.weights import pack, unpack

DATA = Path(tidegate.safety.__file__).parent / "data"


@settings(deadline=None)
@given(
    st.dictionaries(st.text(alphabet="abc é", min_size=1), st.floats(allow_nan=False), min_size=1), st.sampled_from("d")
)
def test_what_was_packed_comes_back(rows: dict[str, float], kind: str) -> None:
    found = unpack(pack({"what": "a test"}, list(rows), [[number, 1.0] for number in rows.values()], kind))
    assert found.names == tuple(rows)
    assert list(found.numbers[::2]) == list(rows.values())
    assert found.header == {"what": "a test", "columns": 2, "type": kind}


GOOD = pack({}, ["a"], [[1.0]], "f")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a file of weights"),
        (b"PK\x03\x04", "not a file of weights"),
        (GOOD[:-1], "not whole"),
        (GOOD + b"x", "not whole"),
        (pack({}, ["a", "b"], [[1.0]], "f"), "numbers for other names"),
        (GOOD.replace(b'"type":"f"', b'"type":"q"'), "a type that nobody knows"),
    ],
)
def test_what_is_none_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        unpack(data)


@pytest.mark.parametrize("name", ["profanity", "injection"])
def test_every_file_says_where_it_comes_from(name: str) -> None:
    found = unpack((DATA / f"{name}.bin").read_bytes())
    assert found.header["source"]
    assert found.header["licence"]
    assert f"`{name}.bin`" in (DATA / "README.md").read_text()
    assert len(set(found.names)) == len(found.names)
