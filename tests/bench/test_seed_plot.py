"""bench/seed_plot.py: a picture, in either format."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.test_seed_report import RESULTS
from tidegate.bench.seed_plot import SUFFIXES, plot

BEGINS = {".png": b"\x89PNG", ".svg": b"<?xml"}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.filterwarnings("default")  # matplotlib's own business
def test_it_is_saved_as_its_suffix_says(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"seed{suffix}"
    plot(RESULTS, path)
    content = path.read_bytes()
    assert content.startswith(BEGINS[suffix])
    assert len(content) > 5000
