"""The books of calls other than chat: limits, the ledger, metrics."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from sqlalchemy import select

from tests.e2e.faces import both
from tests.e2e.test_calls import COMPLETIONS, EMBEDDINGS, JSON, MULTIPART, RESPONSES, last_error, stream
from tests.fakes.gateway import Rig, rig, run, until
from tests.fakes.limited import bearing, gate
from tests.fakes.reader import Reader, ask, post, request_bytes
from tests.wire.test_multipart import form
from tidegate.ledger.database import Database
from tidegate.ledger.options import LedgerOptions
from tidegate.ledger.tables import legs


@both
def test_limits_hold_for_calls(fast: bool) -> None:
    """Requests, streams at the same time, and tokens once an answer has told them."""

    async def case() -> None:
        async with gate(fast=fast) as found:
            port = found.rig.port
            key = bearing((await found.key(rpm=2))["key"])
            answers = [(await ask(port, EMBEDDINGS, stream(stream=False), key)).status for _ in range(3)]
            assert answers == [200, 200, 429]
            key = bearing((await found.key(tpm=600))["key"])
            images = "/v1/images/generations"
            statuses = [(await ask(port, images, stream(stream=False), key)).status for _ in range(4)]
            assert statuses[0] == 200
            assert statuses[-1] == 429
            key = bearing((await found.key(concurrent=1))["key"])
            slow = stream("sim/default?tokens=5000&tps=50")
            reader = await Reader.connect(port)
            reader.send(request_bytes(COMPLETIONS, json.dumps(slow).encode(), key | JSON))
            assert await reader.head() == 200
            assert (await ask(port, EMBEDDINGS, stream(stream=False), key)).status == 429
            await reader.close()
            await until(lambda: not len(found.rig.gateway.relay.registry))
            key = bearing((await found.key(tpm=400))["key"])
            cut = await ask(port, COMPLETIONS, stream("sim/default?tokens=5000&tps=0"), key)
            assert last_error(cut)["code"] == "rate_limit_exceeded"
            assert len(cut.events()) < 410

    run(case())


def test_every_call_has_its_row_in_the_ledger() -> None:
    """With the usage that its answer carries; what a cut stream delivered is estimated; a file is no token."""

    async def calls(found: Rig) -> None:
        port = found.port
        await ask(port, COMPLETIONS, stream(stream_options={"include_usage": True}))
        await ask(port, RESPONSES, stream())
        await ask(port, EMBEDDINGS, stream(stream=False))
        await ask(port, COMPLETIONS, stream("sim/cut-after-7"))
        body = form((b'name="model"', b"sim/default"), (b'name="file"; filename="f"', b"x" * 1000))
        await post(port, "/v1/audio/transcriptions", body, MULTIPART)
        await ask(port, "/v1/files", None, method="GET")
        await found.ended(6)

    async def case(folder: Path) -> None:
        url = f"sqlite:///{folder / 'tidegate.db'}"
        async with rig(ledger=LedgerOptions(url=url, spool=str(folder / "spool"), store_text=True)) as found:
            await calls(found)
        with Database(url).engine.connect() as connection:
            rows = connection.execute(select(legs).order_by(legs.c.started_at)).all()
        told = [(row.framing, row.prompt_tokens, row.output_tokens, row.estimated, row.reason) for row in rows]
        assert told == [
            ("raw", 2, 20, 0, "stop"),
            ("raw", 2, 20, 0, "stop"),
            ("raw", 2, 0, 0, "stop"),
            ("raw", 3, 7, 1, "upstream_cut"),
            ("raw", 10, 4, 0, "stop"),
            ("raw", 0, 0, 0, "stop"),
        ]
        assert [row.cached_tokens for row in rows] == [0, 1, 0, 0, 0, 0]

    with tempfile.TemporaryDirectory() as folder:
        run(case(Path(folder)))


def test_metrics_tell_calls_apart() -> None:
    async def case() -> None:
        async with rig() as found:
            await ask(found.port, EMBEDDINGS, stream(stream=False))
            await found.ended()
            body = (await ask(found.port, "/metrics", None, method="GET")).body.decode()
            assert 'framing="raw",model="sim/default",reason="stop"' in "".join(body.split())
            count = "gen_ai_client_operation_duration_seconds_count"
            assert f'{count}{{error_type="",gen_ai_operation_name="embeddings"' in body
            assert "tidegate_stream_seconds_count" not in body, "those are about chat"

    run(case())
