"""torture/upstream.py: the prompt chooses the script; what gateways ask for beforehand is answered."""

from __future__ import annotations

import json

import pytest

from tests.fakes.gateway import run
from tests.fakes.reader import ask
from tidegate.torture.cases import CASES, Case, Outcome, marker
from tidegate.torture.judge import choices_of
from tidegate.torture.upstream import LyingUpstream, meant

CASE = {case.name: case for case in CASES}


def question(case: Case) -> dict[str, object]:
    return {"model": "any", "stream": True, "messages": [{"role": "user", "content": f"Tell me. {marker(case)}"}]}


def test_the_case_stands_in_the_prompt_whatever_the_model() -> None:
    async def case() -> None:
        upstream = LyingUpstream(("m",))
        await upstream.start()
        try:
            good = await ask(
                upstream.port, "/v1/chat/completions", question(CASE["good"]), {"authorization": "Bearer k"}
            )
            assert choices_of(good.body) == meant(CASE["good"])
            assert upstream.authorizations == {"good": "Bearer k"}
            refused = await ask(upstream.port, "/v1/chat/completions", question(CASE["404"]))
            assert refused.status == 404
            (life,) = upstream.generations(CASE["404"], 0.0)
            assert life.ended_at is not None
            models = await ask(upstream.port, "/v1/models", None, method="GET")
            assert [each["id"] for each in json.loads(models.body)["data"]] == ["m"]
            for path in ("/health", "/get_server_info"):
                health = await ask(upstream.port, path, None, method="GET")
                assert (health.status, json.loads(health.body)["status"]) == (200, "ok")
            unknown = await ask(upstream.port, "/zebra", {})
            assert unknown.status == 404
        finally:
            await upstream.close()

    run(case())


def test_it_can_be_made_deaf() -> None:
    async def case() -> None:
        upstream = LyingUpstream()
        await upstream.start()
        await upstream.stop_listening()
        with pytest.raises(ConnectionRefusedError):
            await ask(upstream.port, "/health", None, method="GET")
        await upstream.close()

    run(case())


@pytest.mark.parametrize("case", [case for case in CASES if Outcome.ANSWER in case.honest], ids=lambda case: case.name)
def test_what_is_meant_is_a_whole_answer(case: Case) -> None:
    choices = meant(case)
    assert choices
    assert all(choice[-1] for choice in choices.values()), "every choice has a finish reason"
    assert any(any(choice[:-1]) for choice in choices.values())
