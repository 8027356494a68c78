"""``/admin/keys``: virtual keys, for admins only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.errors import ConfigError, Forbidden, InvalidRequest, Overloaded
from tidegate.ledger.away import LedgerAway
from tidegate.policy.key_specs import GRACE, duration_of, spec_of
from tidegate.policy.keys import ANONYMOUS, Principal
from tidegate.server.answers import json_response
from tidegate.server.body import read_body
from tidegate.server.gateway import Gateway

if TYPE_CHECKING:
    from tidegate.server.virtual_keys import VirtualKeys

__all__ = ["AdminKeys"]

MAX_BODY: Final = 65536

Found = TypeVar("Found")


class AdminKeys:
    """Every call waits for the database in a thread of its own."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("/admin/keys", self.list),
            Route("/admin/keys", self.create, methods=["POST"]),
            Route("/admin/keys/{id}", self.show),
            Route("/admin/keys/{id}", self.revoke, methods=["DELETE"]),
            Route("/admin/keys/{id}/rotate", self.rotate, methods=["POST"]),
        ]

    async def list(self, request: Request) -> Response:
        """``GET /admin/keys``: all of them, without their secrets, oldest first."""
        who = await self._admin(request)
        keys = await self._ask(who, lambda keys: keys.list())
        return json_response({"object": "list", "data": keys})

    async def create(self, request: Request) -> Response:
        """``POST /admin/keys``: a new key; its secret is in this answer and nowhere else."""
        who = await self._admin(request)
        spec = spec_of(await _object(request), time.time())
        return json_response(await self._ask(who, lambda keys: keys.create(spec)), 201)

    async def show(self, request: Request) -> Response:
        """``GET /admin/keys/{id}``: one, by id or name."""
        who = await self._admin(request)
        name = request.path_params["id"]
        return json_response(await self._ask(who, lambda keys: keys.show(name)))

    async def rotate(self, request: Request) -> Response:
        """``POST /admin/keys/{id}/rotate``: a new secret; the old one stays good for ``grace``."""
        who = await self._admin(request)
        name = request.path_params["id"]
        fields = await _object(request)
        _only(fields, "grace")
        grace = float(duration_of(fields["grace"], "grace")) if "grace" in fields else GRACE
        return json_response(await self._ask(who, lambda keys: keys.rotate(name, grace)))

    async def revoke(self, request: Request) -> Response:
        """``DELETE /admin/keys/{id}``: good for no further request; with ``?cut=true`` its live streams end too."""
        who = await self._admin(request)
        name, cut = request.path_params["id"], request.query_params.get("cut", "false")
        if cut not in ("true", "false"):
            raise InvalidRequest("'cut' must be true or false.", param="cut")
        key = await self._ask(who, lambda keys: keys.revoke(name, cut=cut == "true"))
        if cut == "true" and self._gateway.keyring is not None:
            # At once here; other processes look for it all the time.
            self._gateway.keyring.cut(lambda client: client == key["id"])
        return json_response(key)

    async def _admin(self, request: Request) -> Principal:
        who = await self._gateway.who(request.scope)
        if not who.admin:
            hint = "Send the key of an admin" if who is ANONYMOUS else "This key is not an admin's"
            raise Forbidden(f'{hint} ([[auth.key]] with admin = true, or "tidegate keys create --admin").')
        return who

    async def _ask(self, who: Principal, do: Callable[[VirtualKeys], Found]) -> Found:
        keyring = self._gateway.keyring
        if keyring is None:
            problem = 'This gateway has no ledger to keep keys in: [ledger] url is "off".'
            raise InvalidRequest(problem, status=409, code="no_ledger")
        try:
            return await asyncio.to_thread(do, await keyring.keys(who.id))
        except LedgerAway:
            raise Overloaded(
                "The ledger cannot be reached just now; try again.", code="ledger_away", retry_after=1.0
            ) from None
        except ConfigError as error:
            raise InvalidRequest(error.message, status=409, code=error.code) from None


async def _object(request: Request) -> dict[str, Any]:
    body = await read_body(request.scope, request.receive, limit=MAX_BODY, timeout=5.0)
    if not body.strip():
        return {}
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest("The body must be a JSON object.", code="invalid_json") from None


def _only(fields: dict[str, Any], *known: str) -> None:
    for name in fields:
        if name not in known:
            shown = name[:40] if name.isprintable() else ascii(name)[:40]
            raise InvalidRequest(f"Unknown field '{shown}'; there is {', '.join(known)}.", param=shown)
