"""Where a client command talks to: ``--url`` and ``--key``, or the environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["with_endpoint"]

F = TypeVar("F", bound=Callable[..., Any])


def with_endpoint(command: F) -> F:
    """Adds ``--url`` and ``--key``."""
    key = click.option("--key", envvar="LLM_API_KEY", metavar="KEY", help="The bearer key. [env: LLM_API_KEY]")
    url = click.option(
        "--url",
        envvar="LLM_STREAM_ENDPOINT",
        default="http://127.0.0.1:8080",
        metavar="URL",
        help="A gateway, or any OpenAI-compatible base URL. [env: LLM_STREAM_ENDPOINT; default: the local gateway]",
    )
    return url(key(command))
