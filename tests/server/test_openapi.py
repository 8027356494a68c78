"""server/openapi.py: the document is valid, has every route and no other, and real answers keep to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from tests.fakes.gateway import Rig, gateway, rig, run, simulator_options, until, upstream
from tests.fakes.reader import Reader, ask, request_bytes
from tidegate.errors import TidegateError
from tidegate.policy.options import AuthOptions
from tidegate.relay.endings import Framing
from tidegate.server.app import create_app
from tidegate.server.openapi import OPERATIONS, document, error_codes
from tidegate.wire.sse import SseDecoder

SSE, OWN = "/v1/chat/completions", "/api/v1/chat/stream"
DOCUMENT = document()
STREAM, NDJSON = {"accept": "text/event-stream"}, {"accept": "application/x-ndjson"}


def question(model: str = "sim/default", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Why?"}], **fields}


def check(value: Any, schema: dict[str, Any]) -> None:
    """``value`` is what the schema says, with the document's components in reach."""
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


def response_of(path: str, method: str, reader: Reader) -> dict[str, Any]:
    """What the document says of this status and media type."""
    answers = DOCUMENT["paths"][path][method.lower()]["responses"]
    content = answers[str(reader.status)]["content"]
    schema: dict[str, Any] = content[reader.headers["content-type"].partition(";")[0]]["schema"]
    return schema


def check_events(path: str, reader: Reader) -> int:
    """Every event of a stream keeps to the schema of one; returns how many there were."""
    schema = response_of(path, "POST", reader)["contentSchema"]
    events = [event for event in reader.events() if event != "[DONE]"]
    for event in events:
        check(event, schema)
    return len(events)


async def answer(gate: Rig, path: str, method: str = "GET", body: Any = None, template: str | None = None) -> Any:
    """A JSON answer, after it has been held against the document."""
    reader = await ask(gate.port, path, body, method=method)
    value = json.loads(reader.body)
    check(value, response_of(template or path, method, reader))
    return value


def test_the_document_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    json.dumps(DOCUMENT)


def test_every_schema_is_a_valid_schema_and_is_used() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    text = json.dumps(DOCUMENT)
    assert [name for name in DOCUMENT["components"]["schemas"] if f"/schemas/{name}" not in text] == []


def test_every_route_is_in_it_and_nothing_else() -> None:
    routes = create_app().routes
    assert not any(isinstance(route, Mount) for route in routes)
    served = {
        (route.path.replace(":path}", "}"), method)
        for route in routes
        if isinstance(route, Route)
        for method in (route.methods or {"POST"}) - {"HEAD"}
    }
    assert served == set(OPERATIONS)


def test_operation_ids_are_unique() -> None:
    ids = [operation.id for operation in OPERATIONS.values()]
    assert len(ids) == len(set(ids))


def test_the_schemas_refuse_what_is_not_so() -> None:
    """A schema that takes everything would make every other test here pass."""
    good = {"error": {"message": "No.", "type": "api_error", "code": None, "param": None}}
    check(good, {"$ref": "#/components/schemas/Error"})
    for name in ("Error", "Stream", "ModelList", "StreamList", "ChatCompletion", "ChatCompletionChunk", "Ready"):
        validator = Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]})
        bads: list[Any] = [{}, [], {"error": "text"}, {"error": {**good["error"], "key": "x"}}, {"object": "other"}]
        for bad in bads:
            assert not validator.is_valid(bad), (name, bad)


def test_every_answer_of_a_chat_keeps_to_its_schema() -> None:
    """SSE, NDJSON and one body, with usage and tools, ended well, cut, refused and softly stopped."""

    async def case() -> None:
        async with rig() as gate:
            for path, headers in ((SSE, STREAM), (SSE, NDJSON), (OWN, STREAM), (OWN, NDJSON)):
                usage = {"stream_options": {"include_usage": True}}
                for model in ("sim/default", "sim/tools", "sim/cut-after-5"):
                    reader = await ask(gate.port, path, question(model, stream=True, **usage), headers)
                    assert reader.status == 200
                    assert reader.headers["x-stream-id"]
                    assert check_events(path, reader) >= 5
                    assert (reader.error is not None) == (model == "sim/cut-after-5")
            await answer(gate, SSE, "POST", question())
            await answer(gate, SSE, "POST", question("sim/tools"))
            for status, body in ((400, {"model": "x"}), (502, question("sim/cut-after-5")), (429, question("sim/429"))):
                for path in (SSE, OWN) if status == 400 else (SSE,):
                    reader = await ask(gate.port, path, body)
                    assert reader.status == status
                    check(json.loads(reader.body), response_of(path, "POST", reader))

    run(case())


def test_a_softly_stopped_answer_and_every_row_of_the_table_keep_to_their_schema() -> None:
    async def case() -> None:
        async with rig(simulated=simulator_options(tps=50.0, tokens=2000)) as gate:
            for path, headers in ((SSE, STREAM), (OWN, NDJSON)):
                reader = await Reader.connect(gate.port)
                reader.send(request_bytes(path, json.dumps(question(stream=True)).encode(), headers))
                await reader.head()
                await reader.until(b'"content"')
                one = f"/v1/streams/{reader.headers['x-stream-id']}"
                listed = await answer(gate, "/v1/streams")
                assert [row["state"] for row in listed["data"]] == ["streaming"]
                await answer(gate, one, template="/v1/streams/{id}")
                await check_table(gate)
                await answer(gate, f"{one}/stop", "POST", template="/v1/streams/{id}/stop")
                await reader.rest()
                check_events(path, reader)
                seen = await ask(gate.port, f"{one}/seen", {"ttft": 0.2, "whole": True})
                assert seen.status == 204
                ended = await answer(gate, one, "DELETE", template="/v1/streams/{id}")
                assert (ended["reason"], ended["reader"]) == ("soft_stop", {"ttft": 0.2, "whole": True})
                await reader.close()
            assert (await answer(gate, "/v1/streams"))["data"] == []

    async def check_table(gate: Rig) -> None:
        watcher = await Reader.connect(gate.port)
        watcher.send(request_bytes("/v1/streams/events", b"", method="GET"))
        await watcher.head()
        schema = response_of("/v1/streams/events", "GET", watcher)["contentSchema"]
        await watcher.until(b"event: streams")
        await watcher.until(b"\n\n")
        while not watcher.body.endswith(b"\n\n"):
            await watcher.chunk()
        tables = {event.event: json.loads(event.data) for event in SseDecoder(max_event=1 << 20).feed(watcher.body)}
        for table in tables.values():
            check(table, schema)
        assert tables["streams"]["live"] == 1
        ended = len(gate.records)
        assert len(tables.get("ended", [])) == ended
        await watcher.close()

    run(case())


def test_models_health_and_unknown_streams_keep_to_their_schema() -> None:
    async def case() -> None:
        async with rig() as gate:
            assert (await answer(gate, "/v1/models"))["data"]
            await answer(gate, "/healthz")
            await answer(gate, "/readyz")
            missing = "/v1/streams/" + "0" * 32
            for path, method in (("", "GET"), ("", "DELETE"), ("/stop", "POST")):
                await answer(gate, missing + path, method, template="/v1/streams/{id}" + path)
            await answer(gate, f"{missing}/seen", "POST", {"no number": "text"}, "/v1/streams/{id}/seen")
            gate.gateway.relay.draining = True
            assert (await answer(gate, "/readyz"))["status"] == "draining"
            await answer(gate, SSE, "POST", question())
            gate.gateway.relay.draining = False
            served = await ask(gate.port, "/openapi.json", None, method="GET")
            assert served.headers["content-type"] == "application/json"
            assert json.loads(served.body) == DOCUMENT

    run(case())


def test_a_stranger_gets_errors_of_the_documented_shape() -> None:
    async def case() -> None:
        async with gateway(upstream("http://127.0.0.1:9/v1"), auth=AuthOptions()) as gate:
            for (path, method), operation in OPERATIONS.items():
                body = question() if operation.takes == "ChatRequest" else None
                reader = await ask(gate.port, path.replace("{id}", "0" * 32), body, method=method)
                assert (reader.status == 401) == operation.needs_key, (path, method)
                if reader.status == 401:
                    check(json.loads(reader.body), response_of(path, method, reader))
            await until(lambda: not gate.server.server_state.tasks)

    run(case())


def test_every_other_answer_has_the_documented_media_type() -> None:
    with TestClient(create_app()) as client:
        for (path, method), operation in OPERATIONS.items():
            if not operation.needs_key and method == "GET":
                response = client.get(path)
                if operation.tag == "Page" and response.status_code == 404:
                    assert response.json()["error"]["code"] == "page_not_built"
                    continue
                assert response.headers["content-type"].partition(";")[0] in operation.answers, path


def test_where_it_is_mounted_the_document_says_so() -> None:
    assert document("/llm")["servers"] == [{"url": "/llm"}]
    assert DOCUMENT["servers"] == [{"url": "/"}]


@pytest.mark.parametrize("framing", [framing for framing in Framing if framing is not Framing.RAW])
def test_every_framing_is_an_answer_of_a_chat(framing: Framing) -> None:
    assert framing.content_type.decode().partition(";")[0] in OPERATIONS[SSE, "POST"].answers


def test_every_code_of_an_error_is_listed_once() -> None:
    listed = list(error_codes())
    assert len(listed) == len(set(listed))
    assert {kind.default_code for kind in listed} == {kind.default_code for kind in _tree(TidegateError)}


def _tree(kind: type[TidegateError]) -> set[type[TidegateError]]:
    return {kind}.union(*(_tree(below) for below in kind.__subclasses__()))
