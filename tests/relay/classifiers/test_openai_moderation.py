"""Against a real server in the shape of the moderation endpoint, also one that stalls, lies and fails."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.gateway import run
from tests.fakes.service import Service, service
from tidegate.errors import TidegateError
from tidegate.relay.classifiers.http import ServiceFailed
from tidegate.relay.classifiers.openai_moderation import OpenAIModeration
from tidegate.safety.classifier import ClassifierOptions, Verdict


def moderated(question: Any) -> Any:
    """As the endpoint does: every category, each with its score."""
    rude = "bad" in question["input"]
    scores = {"harassment": 0.91 if rude else 0.01, "violence": 0.4 if rude else 0.0}
    return {
        "id": "modr-1",
        "model": question.get("model", "omni-moderation-latest"),
        "results": [
            {
                "flagged": rude,
                "categories": {name: score > 0.5 for name, score in scores.items()},
                "category_scores": scores,
                "category_applied_input_types": {name: ["text"] for name in scores},
            }
        ],
    }


def classifier(server: Service, **options: Any) -> OpenAIModeration:
    made = {"name": "mod", "url": f"{server.url}/v1", "api_key": "env:KEY", "deadline": 30.0, **options}
    return OpenAIModeration(ClassifierOptions(**made), {"KEY": "sk-test", "NO_PROXY": "*"})


def test_it_asks_with_its_key_and_takes_the_services_word() -> None:
    async def main() -> None:
        async with service(moderated) as server:
            one = classifier(server, model="omni-moderation-2024-09-26")
            try:
                assert await one.check("All is fine.") == Verdict(False, "", 0.01)
                assert await one.check("You are bad.") == Verdict(True, "harassment", 0.91)
            finally:
                await one.close()
            first, headers, question = server.asked[0]
            assert first == "POST /v1/moderations HTTP/1.1"
            assert headers["authorization"] == "Bearer sk-test"
            assert headers["content-type"] == "application/json"
            assert question == {"input": "All is fine.", "model": "omni-moderation-2024-09-26"}
            assert server.gone <= 1, "the connection was kept"

    run(main())


def test_with_categories_their_scores_count() -> None:
    async def main() -> None:
        async with service(moderated) as server:
            one = classifier(server, categories=("violence",), threshold=0.3)
            strict = classifier(server, categories=("violence", "harassment"), threshold=0.95)
            strange = classifier(server, categories=("weather",))
            try:
                assert await one.check("You are bad.") == Verdict(True, "violence", 0.4)
                assert await strict.check("You are bad.") == Verdict(False, "harassment", 0.91)
                with pytest.raises(ServiceFailed, match="no score for 1"):
                    await strange.check("You are bad.")
            finally:
                for each in (one, strict, strange):
                    await each.close()

    run(main())


@pytest.mark.parametrize("how", ["stalls", "fails", "cuts", "babbles", "floods"])
def test_a_service_that_does_not_answer_as_it_should_is_a_failure(how: str) -> None:
    async def main() -> None:
        async with service(moderated) as server:
            server.how = how
            one = classifier(server, deadline=0.3 if how == "stalls" else 30.0)
            try:
                with pytest.raises((ServiceFailed, TidegateError, TimeoutError)) as failed:
                    await one.check("A secret sentence.")
                assert "secret" not in str(failed.value)
            finally:
                await one.close()

    run(main())


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"results": []},
        {"results": [1]},
        {"results": [{"flagged": True}, {"flagged": False}]},
        {"results": [{"flagged": "no"}]},
        {"results": [{"category_scores": {"harassment": 0.1}}]},
    ],
)
def test_an_answer_that_says_nothing_is_not_a_verdict(answer: Any) -> None:
    async def main() -> None:
        async with service(lambda _: answer) as server:
            one = classifier(server)
            try:
                with pytest.raises(ServiceFailed):
                    await one.check("x")
            finally:
                await one.close()

    run(main())


def test_scores_that_are_none_do_not_count() -> None:
    async def main() -> None:
        scores = {"a": 7, "b": True, "c": "1", "d": None}
        async with service(lambda _: {"results": [{"flagged": True, "category_scores": scores}]}) as server:
            one = classifier(server)
            try:
                assert await one.check("x") == Verdict(True, "", None)
            finally:
                await one.close()

    run(main())
