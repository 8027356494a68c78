"""Limits, budgets and virtual keys through the running gateway: who may stream, how much, and when it is over."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.faces import SSE, both, face, question
from tests.fakes.gateway import rig, run, until
from tests.fakes.limited import Gate, bearing, gate
from tests.fakes.reader import Reader, ask, request_bytes
from tests.fakes.redis import RedisServer
from tidegate.ledger.options import LedgerOptions
from tidegate.policy.keys import hash_key, new_key
from tidegate.policy.options import AuthOptions, LimitOptions, ModelLimit, StaticKey, TagLimit
from tidegate.shared.options import SharedOptions

LONG = "sim/default?tokens=5000&tps=0"
"""More than any limit here, as fast as the socket takes it: hundreds of tokens in one read."""
PACED = "sim/default?tokens=5000&tps=2000"

where = pytest.mark.parametrize("shared", [False, True], ids=["process", "redis"])


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="tg-redis-"))
    server = RedisServer(folder)
    server.start()
    yield server.url
    server.kill()
    shutil.rmtree(folder)


def assert_limited(reader: Reader, cause: str = "rate_limit_exceeded") -> dict[str, Any]:
    assert reader.status == 429
    error: dict[str, Any] = json.loads(reader.body)["error"]
    assert error["code"] == cause
    return error


class TestRequests:
    @both
    @where
    def test_one_too_many_is_told_when_to_come_again(self, fast: bool, shared: bool, redis_url: str) -> None:
        async def case() -> None:
            async with gate(fast=fast, redis=redis_url if shared else "") as found:
                key = (await found.key(rpm=2))["key"]
                for left in (1, 0):
                    answer = await found.ask(key)
                    assert answer.status == 200
                    assert answer.headers["x-ratelimit-limit-requests"] == "2"
                    assert answer.headers["x-ratelimit-remaining-requests"] == str(left)
                    assert answer.headers["x-ratelimit-reset-requests"].startswith(("1m", "5"))
                answer = await found.ask(key)
                assert_limited(answer)
                assert 0 < int(answer.headers["retry-after"]) <= 61
                assert int(answer.headers["retry-after-ms"]) <= 1000 * int(answer.headers["retry-after"])
                assert answer.headers["x-ratelimit-remaining-requests"] == "0"
                assert await found.metric("tidegate_refused_total") == {'{cause="requests"}': 1.0}

        run(case())

    def test_tags_models_and_the_gateway_have_limits_of_their_own(self) -> None:
        limits = LimitOptions(
            rpm=4, tags=(TagLimit(tag="team=*", rpm=1),), models=(ModelLimit(model="sim/cjk", rpm=1),)
        )

        async def case() -> None:
            async with gate(limits=limits) as found:
                keys = [(await found.key(tags={"team": team}))["key"] for team in ("a", "b")]
                free = (await found.key())["key"]
                assert [(await found.ask(key)).status for key in keys] == [200, 200]
                assert "the tag team=a" in assert_limited(await found.ask(keys[0]))["message"]
                assert (await found.ask(free, "sim/cjk")).status == 200
                assert "the model sim/cjk" in assert_limited(await found.ask(free, "sim/cjk"))["message"]
                assert (await found.ask(free)).status == 200
                assert "this gateway" in assert_limited(await found.ask(free))["message"]

        run(case())


class TestTokens:
    @face
    @where
    @pytest.mark.parametrize("model", [LONG, PACED], ids=["burst", "paced"])
    def test_a_stream_ends_when_its_tokens_are_used_up(
        self, fast: bool, path: str, shared: bool, model: str, redis_url: str
    ) -> None:
        """Within sixteen of them; the model stops; and the key got what it may have."""

        async def case() -> None:
            async with gate(fast=fast, redis=redis_url if shared else "") as found:
                key = (await found.key(tpm=200))["key"]
                reader = await found.ask(key, model, path)
                assert reader.status == 200
                assert reader.whole
                assert reader.error is not None
                assert reader.error["code"] == "rate_limit_exceeded"
                assert "[DONE]" not in reader.events()
                record = await found.rig.ended()
                assert record.reason == "limit"
                assert 150 <= record.tokens <= 216
                assert reader.body.count(b'"content":"') in (record.tokens, record.tokens + 1)  # the role's is empty
                assert_limited(await found.ask(key))

        run(case())

    def test_a_whole_answer_that_is_not_streamed_ends_with_429(self) -> None:
        async def case() -> None:
            async with gate() as found:
                key = (await found.key(tpm=100))["key"]
                reader = await found.ask(key, PACED, stream=False)
                assert_limited(reader)
                assert (await found.rig.ended()).reason == "limit"

        run(case())

    @where
    def test_what_an_answer_did_not_use_is_there_for_the_next(self, shared: bool, redis_url: str) -> None:
        async def case() -> None:
            async with gate(redis=redis_url if shared else "") as found:
                key = (await found.key(tpm=2000))["key"]
                for _ in range(4):
                    reader = await found.ask(key, "sim/default?tokens=20", max_tokens=1500)
                    assert reader.status == 200
                    assert reader.finish == "length"
                    assert int(reader.headers["x-ratelimit-limit-tokens"]) == 2000

        run(case())

    @where
    def test_a_long_answer_gets_more_as_long_as_there_is_more(self, shared: bool, redis_url: str) -> None:
        async def case() -> None:
            async with gate(redis=redis_url if shared else "") as found:
                key = (await found.key(tpm=100_000))["key"]
                for model in ("sim/default?tokens=1500&tps=0", "sim/default?tokens=700&tps=4000"):
                    assert (await found.ask(key, model)).finish in ("length", "stop")

        run(case())

    def test_a_prompt_that_the_limit_could_never_grant_is_refused_for_good(self) -> None:
        async def case() -> None:
            async with gate() as found:
                key = (await found.key(tpm=60))["key"]
                messages = [{"role": "user", "content": "word " * 200}]
                reader = await found.ask(key, messages=messages)
                assert "send a shorter one" in assert_limited(reader)["message"]
                assert "retry-after" not in reader.headers
                assert reader.headers["x-should-retry"] == "false"

        run(case())


class TestBudgets:
    @both
    @where
    def test_a_stream_ends_when_the_money_is_spent_and_none_begins_after_it(
        self, fast: bool, shared: bool, redis_url: str
    ) -> None:
        """A thousand dollars for a million tokens: a tenth of a dollar is a hundred."""

        async def case() -> None:
            async with gate(fast=fast, redis=redis_url if shared else "") as found:
                key = (await found.key(budget="0.1/day"))["key"]
                reader = await found.ask(key, "sim/priced?tokens=5000&tps=0")
                assert reader.error is not None
                assert (reader.error["code"], reader.error["type"]) == ("insufficient_quota", "insufficient_quota")
                record = await found.rig.ended()
                assert record.reason == "budget"
                assert 90 <= record.tokens <= 116
                reader = await found.ask(key, "sim/priced")
                assert_limited(reader, "insufficient_quota")
                assert int(reader.headers["retry-after"]) <= 86401
                assert reader.headers["x-should-retry"] == "false"
                assert await found.metric("tidegate_refused_total") == {'{cause="budget"}': 1.0}

        run(case())

    def test_what_the_ledger_knows_to_be_spent_counts_after_a_restart(self) -> None:
        async def case() -> None:
            folder = Path(tempfile.mkdtemp(prefix="tg-limits-"))
            ledger = LedgerOptions(url=f"sqlite:///{folder / 'tidegate.db'}", spool=str(folder / "spool"))
            try:
                async with gate(ledger=ledger) as found:
                    key = (await found.key(budget="0.1/total"))["key"]
                    assert (await found.ask(key, "sim/priced?tokens=5000&tps=0")).error is not None
                async with gate(ledger=ledger) as found:
                    reader = await found.ask(key, "sim/priced")
                    assert_limited(reader, "insufficient_quota")
                    assert "retry-after" not in reader.headers
            finally:
                shutil.rmtree(folder)

        run(case())

    def test_a_model_without_a_price_spends_nothing(self) -> None:
        async def case() -> None:
            async with gate() as found:
                key = (await found.key(budget="0.001/day"))["key"]
                for _ in range(2):
                    assert (await found.ask(key, "sim/default?tokens=50")).finish == "length"

        run(case())


ENDS = {
    "finished": "sim/default?tokens=5",
    "cut": "sim/cut-after-3",
    "no finish reason": "sim/no-finish",
    "reset": "sim/rst-after-3",
    "refused": "sim/401",
    "failed": "sim/500",
    "silent": "sim/stall",
    "silent in the middle": "sim/stall-after-3",
    "error event": "sim/error-event",
    "a page": "sim/html",
    "not there": "unknown/model",
}


class TestStreams:
    @face
    @where
    def test_a_slot_comes_back_however_a_stream_ends(self, fast: bool, path: str, shared: bool, redis_url: str) -> None:
        async def case() -> None:
            waits: dict[str, Any] = {"first_token_timeout": 1.0, "idle_timeout": 1.0, "retry_attempts": 0}
            folder = Path(tempfile.mkdtemp(prefix="tg-limits-"))
            key = new_key()
            auth = AuthOptions(keys=(StaticKey(id="one", hash=hash_key(key), concurrent=1, tpm=1_000_000),))
            sections = {
                "shared": SharedOptions(
                    redis=redis_url if shared else "", prefix=folder.name, redis_timeout=20.0, lease=3600.0
                )
            }
            async with rig(fast=fast, auth=auth, sections=sections, models=("sim/*",), **waits) as found:
                client = Gate(found)
                for name, model in ENDS.items():
                    if name.startswith("silent") and path != SSE:
                        continue  # a second each
                    reader = await retried(client, key, model, path)
                    assert reader.status != 429, name
                for leaving in (leave_at_once, leave_in_the_middle, cancel, soft_stop):
                    await leaving(client, key)
                    assert (await retried(client, key, "sim/default?tokens=5", path)).finish == "length", leaving
                holder = await client.open(key)
                error = assert_limited(await client.ask(key))
                assert "1 streams at the same time" in error["message"]
                await holder.close()
            shutil.rmtree(folder)

        run(case())

    def test_live_streams_are_told_by_tag(self) -> None:
        async def case() -> None:
            async with gate() as found:
                key = (await found.key(tags={"team": "search"}))["key"]
                holder = await found.open(key)
                assert await found.metric("tidegate_live_by_tag") == {'{tag="team",value="search"}': 1.0}
                assert await found.metric("tidegate_admitted_total") == {"": 1.0}
                holder.hang_up()
                await found.rig.ended()
                assert await found.metric("tidegate_live_by_tag") == {'{tag="team",value="search"}': 0.0}

        run(case())


async def retried(client: Gate, key: str, model: str, path: str) -> Reader:
    """Again while the stream before it is on its way out: its end is told after its reader has seen it."""
    for _ in range(400):
        reader = await client.ask(key, model, path)
        if reader.status != 429 or b"at the same time" not in reader.body:
            return reader
        await asyncio.sleep(0.05)
    return reader


async def leave_at_once(client: Gate, key: str) -> None:
    reader = await Reader.connect(client.rig.port)
    reader.send(request_bytes(SSE, json.dumps(question("sim/stall")).encode(), bearing(key)))
    await until(lambda: len(client.rig.gateway.relay.registry) == 1)
    reader.hang_up()


async def leave_in_the_middle(client: Gate, key: str) -> None:
    (await client.open(key)).hang_up()


async def cancel(client: Gate, key: str) -> None:
    reader = await client.open(key)
    await ask(client.rig.port, f"/v1/streams/{reader.headers['x-stream-id']}", None, bearing(key), "DELETE")
    await reader.rest()
    await reader.close()


async def soft_stop(client: Gate, key: str) -> None:
    reader = await client.open(key)
    await ask(client.rig.port, f"/v1/streams/{reader.headers['x-stream-id']}/stop", None, bearing(key))
    await reader.rest()
    await reader.close()


class TestVirtualKeys:
    def test_a_key_works_as_soon_as_it_is_made_and_no_longer_than_it_may(self) -> None:
        async def case() -> None:
            async with gate() as found:
                made = await found.key(tags={"team": "a"})
                assert made["object"] == "tidegate.key"
                assert (await found.ask(made["key"])).status == 200
                assert (await found.rig.ended()).client == made["id"]
                answer = await found.admin("DELETE", f"/admin/keys/{made['id']}")
                assert json.loads(answer.body)["state"] == "revoked"
                refused = await found.ask(made["key"])
                assert refused.status == 401
                assert "has been revoked" in json.loads(refused.body)["error"]["message"]

        run(case())

    def test_whoever_revokes_may_cut_what_is_live(self) -> None:
        async def case() -> None:
            async with gate() as found:
                made, other = await found.key(), await found.key()
                live, left = await found.open(made["key"]), await found.open(other["key"])
                await found.admin("DELETE", f"/admin/keys/{made['id']}?cut=true")
                await live.rest()
                assert live.error is not None
                assert live.error["code"] == "key_revoked"
                await live.close()
                assert len(found.rig.gateway.relay.registry) == 1
                left.hang_up()

        run(case())

    def test_another_process_is_noticed_and_its_cut_too(self) -> None:
        """As the command line does it."""

        async def case() -> None:
            async with gate() as found:
                made = await found.key()
                live = await found.open(made["key"])
                ring = found.rig.gateway.keyring
                assert ring is not None
                keys = await ring.keys("cli")
                await asyncio.to_thread(keys.revoke, made["id"], cut=True)
                await live.rest()
                assert live.error is not None
                await live.close()
                assert (await found.ask(made["key"])).status == 401

        run(case())

    def test_a_rotated_key_has_both_secrets_for_a_while(self) -> None:
        async def case() -> None:
            async with gate() as found:
                made = await found.key()
                answer = await found.admin("POST", f"/admin/keys/{made['id']}/rotate", {"grace": "1h"})
                fresh = json.loads(answer.body)
                assert fresh["id"] == made["id"]
                assert fresh["key"] != made["key"]
                assert [(await found.ask(each["key"])).status for each in (made, fresh)] == [200, 200]
                newest = json.loads((await found.admin("POST", f"/admin/keys/{made['id']}/rotate", {"grace": 0})).body)
                assert [(await found.ask(each["key"])).status for each in (made, fresh, newest)] == [401, 401, 200]

        run(case())

    def test_a_key_may_use_its_models_only(self) -> None:
        async def case() -> None:
            async with gate() as found:
                key = (await found.key(models=["sim/c*"]))["key"]
                assert (await found.ask(key, "sim/cjk")).status == 200
                refused = await found.ask(key, "sim/default")
                assert refused.status == 404
                assert json.loads(refused.body)["error"]["code"] == "model_not_found"

        run(case())

    @pytest.mark.parametrize(
        "token", ["tg-oV5IKogNSRD3dS64aENkoIUZQ5lnz7t0HvL23l0t08944QOFd", "tg-short", "tg-" + "x" * 49, "tg-\xff"]
    )
    def test_every_key_that_is_nobodys_gets_the_same_answer(self, token: str) -> None:
        async def case() -> None:
            async with gate() as found:
                refused = await found.ask(token)
                assert refused.status == 401
                assert refused.headers["www-authenticate"] == "Bearer"
                assert "does not know that tg-... key" in json.loads(refused.body)["error"]["message"]

        run(case())

    def test_only_admins_see_and_make_keys(self) -> None:
        async def case() -> None:
            async with gate() as found:
                made = await found.key()
                calls = [("GET", ""), ("POST", ""), ("GET", "/x"), ("DELETE", "/x"), ("POST", "/x/rotate")]
                for method, path in calls:
                    answer = await ask(found.rig.port, f"/admin/keys{path}", None, bearing(made["key"]), method)
                    assert answer.status == 403, (method, path)
                    assert (await ask(found.rig.port, f"/admin/keys{path}", None, None, method)).status == 401

        run(case())

    def test_they_are_listed_without_their_secrets(self) -> None:
        async def case() -> None:
            async with gate() as found:
                made = await found.key(rpm=5, budget="2.5/week", expires="30d", models=["a", "b*"])
                listed = json.loads((await found.admin("GET", "/admin/keys")).body)
                assert listed["object"] == "list"
                (shown,) = listed["data"]
                assert shown == {name: value for name, value in made.items() if name != "key"}
                assert shown["budget"] == {"amount": 2.5, "currency": "USD", "period": "week"}
                one = json.loads((await found.admin("GET", f"/admin/keys/{made['id']}")).body)
                assert one == shown == json.loads((await found.admin("GET", "/admin/keys/app")).body)

        run(case())

    @pytest.mark.parametrize(
        ("method", "path", "body", "status", "code"),
        [
            ("POST", "", {"name": ""}, 400, "invalid_request"),
            ("POST", "", {"name": "x", "rpm": "60"}, 400, "invalid_request"),
            ("POST", "", [1], 400, "invalid_json"),
            ("GET", "/nobody", None, 404, "key_not_found"),
            ("DELETE", "/nobody", None, 404, "key_not_found"),
            ("DELETE", "/nobody?cut=maybe", None, 400, "invalid_request"),
            ("POST", "/nobody/rotate", None, 404, "key_not_found"),
            ("POST", "/nobody/rotate", {"grace": "long"}, 400, "invalid_request"),
            ("POST", "/nobody/rotate", {"grac": "1h"}, 400, "invalid_request"),
        ],
    )
    def test_what_is_wrong_is_said(self, method: str, path: str, body: Any, status: int, code: str) -> None:
        async def case() -> None:
            async with gate() as found:
                answer = await found.admin(method, f"/admin/keys{path}", body)
                assert (answer.status, json.loads(answer.body)["error"]["code"]) == (status, code)

        run(case())

    def test_a_name_that_two_keys_have_is_not_enough_to_change_one(self) -> None:
        async def case() -> None:
            async with gate() as found:
                first, _ = await found.key(), await found.key()
                answer = await found.admin("DELETE", "/admin/keys/app")
                assert json.loads(answer.body)["error"]["code"] == "ambiguous_name"
                await found.admin("DELETE", f"/admin/keys/{first['id']}")
                assert (await found.admin("DELETE", "/admin/keys/app")).status == 200
                gone = await found.admin("POST", f"/admin/keys/{first['id']}/rotate")
                assert (gone.status, json.loads(gone.body)["error"]["code"]) == (409, "key_revoked")

        run(case())

    def test_without_a_ledger_there_are_no_virtual_keys(self) -> None:
        async def case() -> None:
            async with gate(ledger=LedgerOptions()) as found:
                answer = await found.admin("GET", "/admin/keys")
                assert (answer.status, json.loads(answer.body)["error"]["code"]) == (409, "no_ledger")
                assert (await found.ask(new_key())).status == 401

        run(case())

    def test_a_reader_that_leaves_a_key_that_drains_is_read_on_for(self) -> None:
        async def case() -> None:
            async with gate() as found:
                key = (await found.key(on_disconnect="drain"))["key"]
                (await found.open(key, "sim/default?tokens=60&tps=300")).hang_up()
                record = await found.rig.ended()
                assert record.reason == "client_cancel"
                assert record.usage is not None
                assert record.usage.output_tokens == 60

        run(case())
