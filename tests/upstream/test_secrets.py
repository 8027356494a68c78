"""upstream/secrets.py: where secrets come from, and that they do not come out again."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import ConfigError
from tidegate.upstream.secrets import MAX_SECRET, REDACTED, Redactor, resolve, resolve_url

KEY = 'q"7/+ x=0123456789'


def test_a_secret_is_read_from_where_its_reference_points(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(" from-the-file\n")
    assert resolve(f"file:{file}", {}) == "from-the-file"
    assert resolve("env:NAME", {"NAME": "from-the-environment\n"}) == "from-the-environment"
    assert resolve("itself", {}) == "itself"
    assert resolve("sk:with:colons", {}) == "sk:with:colons"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is empty or larger"),
        (b" \n", "is empty or larger"),
        (b"x" * (MAX_SECRET + 1), "is empty or larger"),
        (b"caf\xc3\xa9-key", "is not plain text"),
        (b"two\nlines", "no header can carry"),
        (b"nul\0byte", "no header can carry"),
    ],
)
def test_a_file_that_holds_no_secret_is_told_without_its_content(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=says) as raised:
        resolve(f"file:{file}", {})
    assert "lines" not in raised.value.message
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("environ", [{}, {"NAME": ""}, {"NAME": "  "}])
def test_a_variable_that_is_not_there_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="set the environment variable NAME"):
        resolve("env:NAME", environ)


def test_a_secret_that_is_not_ascii_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as raised:
        resolve("schlüssel-1234", {})
    assert "1234" not in raised.value.message


@pytest.mark.parametrize(
    "form",
    [KEY, json.dumps(KEY)[1:-1], quote(KEY, safe=""), base64.b64encode(KEY.encode()).decode()],
    ids=["plain", "JSON", "URL", "base64"],
)
def test_a_secret_is_removed_in_every_form(form: str) -> None:
    redactor = Redactor([KEY])
    said = f"Incorrect key: {form}. Sorry."
    assert redactor
    assert redactor.found(said.encode())
    for out in (redactor.redact(said), redactor.redact_bytes(said.encode()).decode()):
        assert REDACTED in out
        assert form.rstrip("=") not in out
        assert out.endswith("Sorry.")
    assert KEY not in repr(redactor)


def test_texts_too_short_to_be_a_secret_are_left_alone() -> None:
    redactor = Redactor(["short", ""])
    assert not redactor
    assert not redactor.found(b"a short story")
    assert redactor.redact_bytes(b"a short story") == b"a short story"


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ("Bearer abcdef0123456789", f"Bearer {REDACTED}"),
        ("sk-proj-abcdefghijklmnop1234 is wrong", "[redacted] is wrong"),
        ("AIzaSyA-1234567890abcdefghijkl", REDACTED),
        ("The task-list is long", "The task-list is long"),
    ],
)
def test_what_looks_like_anybodys_key_is_removed_from_errors(text: str, out: str) -> None:
    redacted = Redactor().redact(text)
    assert redacted.endswith(out.removeprefix(REDACTED))
    assert (REDACTED in redacted) == (REDACTED in out)


@given(
    st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=30), max_size=4),
    st.text(),
)
def test_no_secret_is_found_in_what_was_redacted(secrets: list[str], around: str) -> None:
    redactor = Redactor(secrets)
    text = around.join(["", *secrets, ""])
    out = redactor.redact_bytes(text.encode("utf-8", "replace"))
    assert not any(secret.encode() in out for secret in secrets if secret not in REDACTED)


def test_a_url_may_be_a_reference_and_is_otherwise_taken_as_it_is() -> None:
    environ = {"DATABASE": "postgresql://user@host/name"}
    assert resolve_url("env:DATABASE", environ) == "postgresql://user@host/name"
    assert resolve_url("sqlite:////data/Gezeiten-Büro.db", environ) == "sqlite:////data/Gezeiten-Büro.db"
    with pytest.raises(ConfigError):
        resolve_url("env:MISSING", environ)
