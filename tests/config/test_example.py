"""config/example.py: the file to begin with."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from tidegate.config import example, load
from tidegate.config.schema import keys_of
from tidegate.ledger.options import LedgerOptions
from tidegate.policy.keys import hash_key, new_key
from tidegate.policy.options import AuthOptions, StaticKey
from tidegate.server.options import GatewayOptions
from tidegate.upstream.options import UpstreamOptions


def test_it_loads_and_changes_no_default(tmp_path: Path) -> None:
    file = tmp_path / "tidegate.toml"
    file.write_text(example())
    upstream = UpstreamOptions(name="main", base_url="http://127.0.0.1:8000/v1")
    loaded = load(str(file), {})
    assert replace(loaded, ledger=LedgerOptions()) == GatewayOptions(
        upstreams=(upstream,), auth=AuthOptions(anonymous=True)
    )
    # Two places are worked out.
    assert replace(loaded.ledger, url="", spool="") == LedgerOptions()


def test_with_every_comment_mark_taken_away_it_still_loads(tmp_path: Path) -> None:
    """Each setting stands under its own section, spelt right, with a value of the right type."""
    ca = tmp_path / "ca.pem"
    ca.write_text("x")
    digest = hash_key(new_key())
    text = re.sub(r"(?m)^#(?=[^ \n])", "", example())
    text = text.replace("/etc/ssl/private-ca.pem", str(ca)).replace("sha256:...", digest)
    file = tmp_path / "tidegate.toml"
    file.write_text(text)
    options = load(str(file), {"OPENAI_API_KEY": "x"})
    assert options.auth.keys == (StaticKey(id="my-app", hash=digest, tags={"team": "search"}),)
    assert replace(options.upstreams[0], api_keys=(), headers={}, aliases={}, ca_file=None) == UpstreamOptions(
        name="main", base_url="http://127.0.0.1:8000/v1"
    )


@pytest.mark.parametrize("section", list(keys_of(GatewayOptions)))
def test_every_setting_of_every_section_is_there(section: str) -> None:
    key = keys_of(GatewayOptions)[section]
    assert key.table is not None
    text = example().partition(f"[{section}]")[2]
    for name, entry in keys_of(key.table).items():
        table = f"[[{section}.{name}]]" if entry.many else f"[{section}.{name}]"
        shown = table if entry.table is not None else f"\n#{name} = "
        assert shown in text or f"\n{name} = " in text


def test_the_options_docstrings_are_the_comments() -> None:
    assert (
        "# Open connections, idle ones included. A further stream waits `connect_timeout` at most, then 503."
        in example()
    )


def test_no_line_is_wider_than_a_terminal_likes() -> None:
    assert max(map(len, example().splitlines())) <= 110


def test_it_is_toml_and_ends_with_a_newline() -> None:
    sections = {"server", "stream", "upstream", "auth", "safety", "ledger", "limits", "shared"}
    assert set(tomllib.loads(example())) == sections
    assert example().endswith("\n")
