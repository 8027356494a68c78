"""Secrets by reference, and their removal from whatever goes out."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tidegate.errors import ConfigError

__all__ = ["REDACTED", "Redactor", "resolve", "resolve_url"]

REDACTED: Final = "[redacted]"

MAX_SECRET: Final = 65536
"""Bytes of a secret file: a private key in PEM has 3,000."""

SHORTEST: Final = 8
"""Characters: removing a shorter text from answers would mangle them."""

_LOOKS_SECRET: Final = re.compile(
    r"(?i)\b(bearer\s+)[\w.~+/=-]{8,}|\b((?:sk|rk|pk|tg|gsk|xai|key)-[\w-]{0,12}?)[\w-]{12,}|\bAIza[\w-]{20,}"
)
"""What providers' keys look like, for error texts: those may show a key that is not ours."""


def resolve(reference: str, environ: Mapping[str, str]) -> str:
    """The secret behind ``env:NAME`` or ``file:/path``; any other text is the secret itself.

    :raises ConfigError: it is not there, or empty. The message names the reference, never a value.
    """
    kind, separator, where = reference.partition(":")
    if separator and kind == "env":
        value = environ.get(where, "")
        if not value.strip():
            raise ConfigError(f'The secret "{reference}" is not there: set the environment variable {where}.')
    elif separator and kind == "file":
        value = _read(reference, where)
    else:
        value = reference
    value = value.strip()
    if not value.isprintable() or not value.isascii():
        raise ConfigError("A secret has characters that no header can carry; look at what it is read from.")
    return value


def resolve_url(url: str, environ: Mapping[str, str]) -> str:
    """A URL, or what a reference to one stands for. Unlike a secret, a URL of its own may have any character.

    :raises ConfigError: as :func:`resolve`.
    """
    return resolve(url, environ) if url.startswith(("env:", "file:")) else url


def _read(reference: str, where: str) -> str:
    try:
        with Path(where).open("rb") as file:
            data = file.read(MAX_SECRET + 1)
    except OSError as error:
        raise ConfigError(f'The secret "{reference}" cannot be read: {error.strerror or error}.') from None
    if len(data) > MAX_SECRET or not data.strip():
        raise ConfigError(f'The secret "{reference}" is empty or larger than {MAX_SECRET} bytes.')
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise ConfigError(f'The secret "{reference}" is not plain text.') from None


class Redactor:
    """Removes known secrets, also where they were escaped or encoded on the way."""

    __slots__ = ("_bytes", "_texts", "longest", "shortest")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: dict[str, None] = {}
        for secret in secrets:
            if len(secret) >= SHORTEST:
                forms.update(dict.fromkeys(_forms(secret)))
        # The longest first: one form may hold another.
        self._texts = sorted(forms, key=len, reverse=True)
        self._bytes = [text.encode() for text in self._texts]
        self.shortest = 0 if any('"' in text for text in self._texts) else min(map(len, self._bytes), default=0)
        """Bytes of the shortest form; 0 when one holds a quote: it could stand across the border of a JSON string."""
        self.longest = max(map(len, self._bytes), default=0)
        """Bytes of the longest form."""

    def __bool__(self) -> bool:
        return bool(self._texts)

    def __repr__(self) -> str:
        return f"Redactor({len(self._texts)} forms)"

    def found(self, data: bytes) -> bool:
        """Whether a secret is in there. Cheap: it is asked for every token."""
        for secret in self._bytes:  # noqa: SIM110 - a generator costs three times as much
            if data.find(secret) >= 0:
                return True
        return False

    def redact(self, text: str) -> str:
        """Without the secrets, and without what looks like anybody's key."""
        for secret in self._texts:
            text = text.replace(secret, REDACTED)
        return _LOOKS_SECRET.sub(lambda match: f"{match[1] or match[2] or ''}{REDACTED}", text)

    def redact_bytes(self, data: bytes) -> bytes:
        """Without the secrets."""
        for secret in self._bytes:
            data = data.replace(secret, REDACTED.encode())
        return data


def _forms(secret: str) -> Iterable[str]:
    yield secret
    yield json.dumps(secret)[1:-1]
    yield quote(secret, safe="")
    yield base64.b64encode(secret.encode()).decode().rstrip("=")
