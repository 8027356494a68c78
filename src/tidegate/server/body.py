"""Reading a request body: within its limits of size and time, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from tidegate.errors import InvalidRequest, RequestTimeout, RequestTooLarge

__all__ = ["ClientGone", "arrived", "header", "read_body"]


class ClientGone(Exception):
    """The client hung up before its request was whole: there is nobody to answer."""


def header(scope: MutableMapping[str, Any], name: bytes) -> bytes | None:
    """The first value of a request header; names are in lower case."""
    known: dict[bytes, bytes] = scope.get(_BY_NAME) or _by_name(scope)
    return known.get(name)


_BY_NAME: Final = "tidegate.headers"


def _by_name(scope: MutableMapping[str, Any]) -> dict[bytes, bytes]:
    # Half a dozen are asked for with every stream. The scope is one request's, and keeps them.
    known: dict[bytes, bytes] | None = scope.get(_BY_NAME)
    if known is None:
        known = scope[_BY_NAME] = dict(reversed([*scope["headers"]]))
    return known


async def read_body(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    *,
    limit: int,
    timeout: float,
    given: Callable[[], bytes | None] | None = None,
) -> bytes:
    """The whole body.

    :param limit: bytes.
    :param timeout: seconds for all of it, so that a client that dribbles cannot hold a place for ever.
    :param given: gives the body if it is there already, without waiting.
    :raises RequestTooLarge: it is, or says that it will be, over the limit.
    :raises RequestTimeout: it did not come in time.
    :raises InvalidRequest: it is compressed, or its length is not a number.
    :raises ClientGone: the client hung up.
    """
    _check_headers(scope, limit)
    whole = None if given is None else given()
    if whole is not None:
        return _within(whole, limit)
    try:
        async with asyncio.timeout(timeout):
            return await _read(receive, limit)
    except TimeoutError:
        raise RequestTimeout(f"The request body did not arrive within {timeout:g} s.") from None


def arrived(scope: MutableMapping[str, Any], body: bytes, limit: int) -> bytes:
    """A body that has come whole, with the same limits.

    :raises RequestTooLarge: it is over the limit of ``limit`` bytes.
    :raises InvalidRequest: it is compressed.
    """
    _check_headers(scope, limit)
    return _within(body, limit)


def _check_headers(scope: MutableMapping[str, Any], limit: int) -> None:
    named = _by_name(scope)
    if named.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise InvalidRequest("Send the request body uncompressed (no content-encoding).", status=415)
    length = named.get(b"content-length", b"")
    if length.isdigit() and (len(length) > 15 or int(length) > limit):
        raise RequestTooLarge(f"The request body is larger than {limit} bytes.")


def _within(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise RequestTooLarge(f"The request body is larger than {limit} bytes.")
    return body


async def _read(receive: Callable[[], Awaitable[MutableMapping[str, Any]]], limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise RequestTooLarge(f"The request body is larger than {limit} bytes.")
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)
