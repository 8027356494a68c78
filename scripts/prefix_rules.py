"""Makes src/tidegate/safety/builtin/prefixes.py from the rules of gitleaks: those with a fixed beginning, as data.

    python scripts/prefix_rules.py gitleaks.toml > src/tidegate/safety/builtin/prefixes.py

What stands around a match (``\\b``, a list of terminators) becomes classes; a repetition of many becomes one without
end, so that the replacement need not wait for it. Rules that begin with anything, and rules that another file here
says better, are left out.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

SKIPPED = {
    "azure-ad-client-secret", "facebook-access-token", "hashicorp-tf-api-token", "maxmind-license-key",  # any beginning
    "curl-auth-header", "curl-auth-user", "kubernetes-secret-yaml", "nuget-config-password", "freemius-secret-key",
    "sourcegraph-access-token", "sidekiq-sensitive-url",  # a shape of documents, or no beginning of their own
    "jwt", "private-key",  # builtin/secrets.py
}  # fmt: skip
OTHER = {
    # A label leaves before the entropy of the whole is known: how such a key really begins tells it from hvs.xxxxx.
    "vault-service-token": r"hvs\.[A-Z0-9][\w-]{89,}",  # its other form, s.<24 letters>, is half of all Python
    "1password-service-account-token": r"ops_eyJ[a-wyz][a-zA-Z0-9+/]{249,}={0,3}",
    "grafana-cloud-api-token": r"glc_eyJ[A-Za-z0-9+/]{29,}={0,3}",
    "flyio-access-token": r"(?:fo1_[\w-]{43}|fm1[ar]_[a-zA-Z0-9+\/]{100,}={0,3}|fm2_[a-zA-Z0-9+\/]{100,}={0,3}"
    r"|FlyV1 [A-Za-z0-9=_\-,/+]{100,})",
}
LEFT = {"infracost-api-token": r"\w."}  # media.ico-<hash>.png
GENERIC = ":{1,3}="
END = r"""(?:[\x60'"\s;]|\\[nr]|$)"""
ENDS = (END, END.replace("$)", r"$|\b)"), r"(?:[^\w-]|\z)", r"(?:[^a-zA-Z0-9+/]|\z)", r"\b")
NOTICE = '''# ruff: noqa: E501
"""Keys and tokens that begin in a way of their own. Made by ``scripts/prefix_rules.py``; do not edit.

The expressions are those of gitleaks (github.com/gitleaks/gitleaks), under this notice:

    MIT License. Copyright (c) 2019 Zachary Rice

    Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
    documentation files (the "Software"), to deal in the Software without restriction, including without limitation
    the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and
    to permit persons to whom the Software is furnished to do so, subject to the following conditions:

    The above copyright notice and this permission notice shall be included in all copies or substantial portions of
    the Software.

    THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO
    THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
    AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF
    CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS
    IN THE SOFTWARE.
"""

from __future__ import annotations

from typing import Final

__all__ = ["PREFIXES"]

# fmt: off
PREFIXES: Final[tuple[tuple[str, str, str, str, float], ...]] = (
    # name, core, left, right, least entropy in bits a character'''


def converted(identifier: str, regex: str, entropy: float) -> tuple[str, str, str, str, float]:
    """One rule as (name, core, left, right, least entropy)."""
    core, left, right = regex, "0-9A-Za-z", ""
    flags = "(?i)" if core.startswith("(?i)") else ""
    core = core.removeprefix("(?i)")
    if core.startswith(r"\b"):
        core, left = core[2:], r"\w"
    for end in ENDS:
        if core.endswith(end):
            core, right = core.removesuffix(end), r"\w"
            break
    if core.startswith("(") and core.endswith(")") and not core.startswith("(?") and balanced(core[1:-1]):
        core = core[1:-1]
    core = core.replace("(?-i:", "(?:").replace("[[:alnum:]]", "[0-9A-Za-z]").replace(r"\b", "")
    before, inline, after = core.partition("(?i)")
    core = f"{before}(?i:{after})" if inline else core
    if identifier in OTHER:
        core, flags = OTHER[identifier], ""
    core = re.sub(r"\{(\d+),\d{3,}\}(?!\\\.)", r"{\1,}", core)
    if re.search(r"(?:\{\d+,\}|[*+])\)*(?:=\{0,\d\}|=\?)?\)*$", core):
        right = ""  # it goes on without end
    bounded = not re.search(r"\{\d+,\}|[^\\][*+]", core)
    return identifier, flags + core, LEFT.get(identifier, left), right, entropy if bounded else 0.0


def balanced(text: str) -> bool:
    """Whether its parentheses pair up by themselves."""
    depth = 0
    for sign in re.findall(r"(?<!\\)[()]", text):
        depth += 1 if sign == "(" else -1
        if depth < 0:
            return False
    return depth == 0


def main(path: str) -> None:
    rules = tomllib.loads(Path(path).read_text())["rules"]
    print(NOTICE)
    for rule in rules:
        regex = rule.get("regex", "")
        if regex and GENERIC not in regex and rule["id"] not in SKIPPED:
            name, core, left, right, entropy = converted(rule["id"], regex, float(rule.get("entropy", 0)))
            print(f"    ({name!r}, {core!r}, {left!r}, {right!r}, {entropy}),")
    print(")")


if __name__ == "__main__":
    main(sys.argv[1])
