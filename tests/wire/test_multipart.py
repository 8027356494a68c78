"""wire/multipart.py: a field of a form is found, whatever stands around it, and a file is never taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.wire.multipart import MAX_PARTS, boundary_of, field

TYPE = b"multipart/form-data; boundary=abc"


def form(*parts: tuple[bytes, bytes], boundary: bytes = b"abc", preamble: bytes = b"") -> bytes:
    """A body of parts: the rest of a content-disposition, and the value."""
    made = [
        b"--" + boundary + b"\r\nContent-Disposition: form-data; " + head + b"\r\n\r\n" + value + b"\r\n"
        for head, value in parts
    ]
    return preamble + b"".join(made) + b"--" + boundary + b"--\r\n"


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (TYPE, b"abc"),
        (b'Multipart/Form-Data; charset=utf-8; Boundary="a b c"', b"a b c"),
        (b"multipart/form-data", None),
        (b"multipart/form-data; boundary=" + b"x" * 71, b"x" * 70),
        (b"application/json; boundary=abc", None),
        (b"", None),
    ],
)
def test_the_boundary_is_read(content_type: bytes, boundary: bytes | None) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize("preamble", [b"", b"ignored\r\n"])
def test_a_field_is_found_behind_a_file(preamble: bytes) -> None:
    body = form(
        (b'name="file"; filename="model"', b"\0\r\n--ab\r\n\r\n" * 100),
        (b'name="model"; filename="x"', b"not it"),
        (b'name="models"', b"nor this"),
        (b'name="model"', b"whisper-1"),
        (b'name="model"', b"second"),
        preamble=preamble,
    )
    at = field(body, b"abc", b"model")
    assert at is not None
    assert body[at] == b"whisper-1"
    assert field(body, b"abc", b"stream") is None


@given(st.binary(max_size=40).filter(lambda value: b"--abc" not in value), st.binary(max_size=200))
def test_any_value_is_found_whole(value: bytes, before: bytes) -> None:
    """Also an empty one, and one with line ends in it."""
    before = before.replace(b"--abc", b"")
    body = form((b'name="file"; filename="f"', before), (b'name="model"', value))
    at = field(body, b"abc", b"model")
    assert at is not None
    assert body[at] == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary",
        b"--abc\r\nContent-Disposition: form-data",
        b'--abc\r\nContent-Disposition: form-data; name="model"\r\n\r\nnever ends',
        b"--abc\r\n" + b"x" * 9000 + b"\r\n\r\n\r\n--abc--",
        form(*[(b'name="a"', b"")] * (MAX_PARTS + 1)),
    ],
)
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        field(body, b"abc", b"model")
