"""Where a field of a ``multipart/form-data`` body stands (RFC 7578), without taking the body apart.

Files are passed over with a search for the boundary; nothing is copied but the field itself.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["boundary_of", "field"]

MAX_PARTS: Final = 1000
"""Parts that are looked at: a form of the field has a dozen."""

MAX_PART_HEAD: Final = 8192

_BOUNDARY: Final = re.compile(rb';\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_NAME: Final = re.compile(
    rb'^content-disposition:\s*form-data\b[^\r\n]*;\s*name="([^"\r\n]*)"', re.IGNORECASE | re.MULTILINE
)
_FILE: Final = re.compile(rb"^content-disposition:[^\r\n]*;\s*filename\*?=", re.IGNORECASE | re.MULTILINE)


def boundary_of(content_type: bytes) -> bytes | None:
    """The boundary that a ``content-type`` announces; ``None`` when it is not multipart, or says none."""
    if not content_type.lower().startswith(b"multipart/form-data"):
        return None
    found = _BOUNDARY.search(content_type)
    return None if found is None else found[1] or found[2]


def field(body: bytes, boundary: bytes, name: bytes) -> slice | None:
    """Where the value of the first field of that name stands; ``None`` when there is none. A file is no field.

    :raises ValueError: the body is not what its boundary says.
    """
    delimiter = b"\r\n--" + boundary
    if not body.startswith(delimiter[2:]):
        at = body.find(delimiter)
        if at < 0:
            raise ValueError("its boundary is not in it")
        at += len(delimiter)
    else:
        at = len(delimiter) - 2
    for _ in range(MAX_PARTS):
        if body.startswith(b"--", at):
            return None
        head_end = body.find(b"\r\n\r\n", at, at + MAX_PART_HEAD)
        if head_end < 0:
            raise ValueError("a part has no end of its head")
        start = head_end + 4
        end = body.find(delimiter, start - 2)  # an empty value: its line end is the one before the delimiter
        if end < 0:
            raise ValueError("a part has no end")
        head = body[at:head_end]
        named = _NAME.search(head)
        if named is not None and named[1] == name and _FILE.search(head) is None:
            return slice(start, max(start, end))
        at = end + len(delimiter)
    raise ValueError(f"it has more than {MAX_PARTS} parts")
