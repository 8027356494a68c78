"""simulator/calls.py: every call answers in the API's shape, and fails in the ways that the model's name asks for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes.gateway import run, simulator_options
from tests.fakes.reader import ask, post
from tests.wire.test_multipart import form
from tidegate.simulator.calls import MAX_FILES, read_json
from tidegate.simulator.server import Simulator

FORM = {"content-type": "multipart/form-data; boundary=abc"}


def upload(content: bytes) -> bytes:
    return form((b'name="purpose"', b"batch"), (b'name="file"; filename="f"', content))


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/v1/completions", {"object": "text_completion"}),
        ("/v1/responses", {"object": "response", "status": "completed"}),
        ("/v1/embeddings", {"object": "list"}),
        ("/v1/images/generations", {}),
    ],
)
def test_a_whole_answer_tells_its_usage(path: str, shape: dict[str, Any]) -> None:
    async def case() -> None:
        simulator = Simulator(simulator_options())
        await simulator.start()
        reader = await ask(simulator.port, path, {"model": "sim/default", "prompt": "Why?", "input": ["Why?"]})
        found = json.loads(reader.body)
        assert shape.items() <= found.items()
        assert found["usage"]
        assert (await ask(simulator.port, path, {"model": "sim/429"})).status == 429
        assert (await ask(simulator.port, path, [])).status == 400
        half = await ask(simulator.port, path, {"model": "sim/cut-after-9", "input": "Why?"})
        assert (len(half.body), half.whole) == (9, False)
        await simulator.close()

    run(case())


def test_files_come_and_go() -> None:
    async def case() -> None:
        simulator = Simulator(simulator_options())
        await simulator.start()
        port = simulator.port
        for number in range(MAX_FILES + 1):
            assert (await post(port, "/v1/files", upload(b"\0" * number), FORM)).status == 200
        listed = json.loads((await ask(port, "/v1/files", None, method="GET")).body)["data"]
        assert [each["bytes"] for each in listed] == list(range(1, MAX_FILES + 1)), "the oldest is forgotten"
        name = listed[0]["id"]
        assert (await ask(port, f"/v1/files/{name}/content", None, method="GET")).body == b"\0"
        assert json.loads((await ask(port, f"/v1/files/{name}", None, method="GET")).body)["purpose"] == "batch"
        assert (await ask(port, f"/v1/files/{name}", None, method="DELETE")).status == 200
        assert (await ask(port, f"/v1/files/{name}", None, method="GET")).status == 404
        assert (await ask(port, f"/v1/files/{listed[1]['id']}/other", None, method="GET")).status == 404
        assert (await post(port, "/v1/files", b"{}", {"content-type": "application/json"})).status == 400
        await simulator.close()

    run(case())


def test_a_body_has_to_be_an_object() -> None:
    assert read_json(b'{"a": 1}') == {"a": 1}
    for body in (b"[]", b"{"):
        with pytest.raises(ValueError):
            read_json(body)
