"""server/admin.py: its answers keep to their schemas; what they do is tests/e2e/test_limits.py."""

from __future__ import annotations

import json
from typing import Any

import jsonschema

from tests.fakes.gateway import run
from tests.fakes.limited import gate
from tidegate.ledger.database import LedgerAway
from tidegate.server.openapi import document

DOCUMENT = document()


def check(value: Any, name: str) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", **DOCUMENT}
    jsonschema.Draft202012Validator(schema).validate(value)


def test_every_answer_keeps_to_its_schema() -> None:
    async def case() -> None:
        async with gate() as found:
            spec = {"name": "x", "budget": "1/day", "expires": "1d", "on_disconnect": "drain", "tags": {"a": "b"}}
            check(spec, "NewVirtualKey")
            made = await found.key(**spec)
            check(made, "VirtualKey")
            check(await found.key(), "VirtualKey")
            check(json.loads((await found.admin("GET", "/admin/keys")).body), "VirtualKeyList")
            for method, path in (("GET", ""), ("POST", "/rotate"), ("DELETE", "")):
                answer = await found.admin(method, f"/admin/keys/{made['id']}{path}")
                assert answer.status == 200
                check(json.loads(answer.body), "VirtualKey")
            missing = await found.admin("GET", "/admin/keys/nobody")
            check(json.loads(missing.body), "Error")

    run(case())


def test_a_ledger_that_is_away_is_503_and_try_again() -> None:
    async def case() -> None:
        async with gate() as found:
            ring = found.rig.gateway.keyring
            assert ring is not None

            def away() -> list[Any]:
                raise LedgerAway("gone")

            ring.store.all = away  # type: ignore[method-assign]
            answer = await found.admin("GET", "/admin/keys")
            assert (answer.status, json.loads(answer.body)["error"]["code"]) == (503, "ledger_away")
            assert answer.headers["retry-after"] == "1"

    run(case())
