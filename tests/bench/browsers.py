"""The Chromium of the tests: Debian's, which `make test` installs (`scripts/debian-packages chromium`)."""

from __future__ import annotations

import shutil

__all__ = ["the_chromium"]


def the_chromium() -> str:
    found = shutil.which("chromium")
    assert found, "scripts/debian-packages chromium"
    return found
