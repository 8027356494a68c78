"""``/admin/usage``: what was used and what it cost, for admins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tidegate.errors import Forbidden, InvalidRequest, Overloaded
from tidegate.ledger.away import LedgerAway
from tidegate.server.gateway import Gateway
from tidegate.wire.openai_chat import encode_json

if TYPE_CHECKING:
    from tidegate.ledger.report import Query

__all__ = ["ReportRoutes"]


class ReportRoutes:
    """Everything under ``/admin`` that reads the ledger."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def usage(self, request: Request) -> Response:
        """``GET /admin/usage``: by key, tag, model, reason or day; ``since``, ``reason``."""
        who = await self._gateway.who(request.scope)
        if not who.admin:
            raise Forbidden("This needs the key of an admin ([[auth.key]] with admin = true).")
        query = _query(request)
        rows = await asyncio.to_thread(self._rows, query)
        return StreamingResponse(_list(rows), media_type="application/json")

    def _rows(self, query: Query) -> list[dict[str, Any]]:
        ledger = self._gateway.ledger
        if ledger is None:
            raise InvalidRequest('This gateway keeps no ledger: [ledger] url is "off".', status=409, code="no_ledger")
        from tidegate.ledger.report import usage

        try:
            with ledger.database.reading() as connection:
                return list(usage(connection, query))
        except LedgerAway:
            raise Overloaded("The ledger cannot be reached now.", retry_after=5.0) from None


def _list(rows: list[dict[str, Any]]) -> Iterator[bytes]:
    yield b'{"object":"list","data":['
    for number, row in enumerate(rows):
        yield (b"," if number else b"") + encode_json(row)
    yield b"]}"


def _query(request: Request) -> Query:
    # Imported when it is asked for: a gateway without a ledger need not carry SQLAlchemy.
    from tidegate.ledger.report import GROUPS, Group, Query, since_of

    given = request.query_params
    unknown = next((name for name in given if name not in ("by", "since", "reason")), None)
    if unknown is not None:
        raise InvalidRequest(f"'{unknown[:40]}' is not a parameter; there are by, since and reason.", param="query")
    by = given.get("by", "key")
    if by not in GROUPS:
        raise InvalidRequest(f"'by' must be one of {', '.join(GROUPS)}.", param="by")
    since = given.get("since")
    try:
        start = None if since is None else since_of(since, time.time())
    except ValueError:
        raise InvalidRequest("'since' must be such as 30d, 12h, today or 2026-11-01.", param="since") from None
    return Query(by=cast(Group, by), since=start, reason=given.get("reason"))
