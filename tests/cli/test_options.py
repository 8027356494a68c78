"""cli/options.py: what is said once reads the same wherever it is."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Command

SHARED = {
    "--quiet": ("No progress.", [("batch",), ("bench", "load"), ("bench", "seed")]),
    "--json": ("Write everything there as JSON", [("bench", "load"), ("bench", "seed"), ("torture",)]),
    "--header": ("Sent with each request", [("bench", "load"), ("torture",)]),
    "--api-key": ("env:NAME or file:PATH", [("batch",), ("bench", "load"), ("torture",)]),
}


@pytest.mark.parametrize("option", SHARED)
def test_a_shared_option_is_there_with_the_same_words(command: Command, option: str) -> None:
    words, commands = SHARED[option]
    for path in commands:
        said = " ".join(command(*path, "--help").stdout.split())
        assert option in said, path
        assert words in said, path
