"""Against a real server in the shape of Presidio's analyzer, also one that lies and fails."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.fakes.gateway import run
from tests.fakes.service import Service, service
from tidegate.errors import TidegateError
from tidegate.relay.classifiers.http import ServiceFailed
from tidegate.relay.classifiers.presidio import Presidio
from tidegate.safety.classifier import ClassifierOptions, Verdict


def analyzed(question: Any) -> Any:
    """Finds names, and surer ones."""
    found = []
    for match in re.finditer("Bob|Alice", question["text"]):
        score = 0.85 if match[0] == "Bob" else 0.6
        if score >= question["score_threshold"]:
            found.append(
                {
                    "entity_type": "PERSON",
                    "start": match.start(),
                    "end": match.end(),
                    "score": score,
                    "analysis_explanation": None,
                    "recognition_metadata": {"recognizer_name": "SpacyRecognizer"},
                }
            )
    return found


def classifier(server: Service, **options: Any) -> Presidio:
    made = {"name": "names", "url": server.url, "deadline": 30.0, **options}
    return Presidio(ClassifierOptions(**made), {"NO_PROXY": "*"})


def test_a_sentence_with_an_entity_is_flagged() -> None:
    async def main() -> None:
        async with service(analyzed) as server:
            one = classifier(server, entities=("PERSON",), language="de", threshold=0.5)
            try:
                assert await one.check("Alice met Bob.") == Verdict(True, "PERSON", 0.85)
                assert await one.check("They met.") == Verdict(False)
            finally:
                await one.close()
            first, headers, question = server.asked[0]
            assert first == "POST /analyze HTTP/1.1"
            assert "authorization" not in headers
            assert question == {
                "text": "Alice met Bob.",
                "language": "de",
                "score_threshold": 0.5,
                "entities": ["PERSON"],
            }

    run(main())


def test_threshold_and_entities_hold_whatever_the_service_says() -> None:
    async def main() -> None:
        found = [
            {"entity_type": "PERSON", "start": 0, "end": 1, "score": 0.2},
            {"entity_type": "URL", "start": 0, "end": 1, "score": 1},
        ]
        async with service(lambda _: found) as server:
            one, every = classifier(server, entities=("PERSON",)), classifier(server)
            try:
                assert await one.check("xyz") == Verdict(False)
                assert await every.check("xyz") == Verdict(True, "URL", 1.0)
            finally:
                await one.close()
                await every.close()

    run(main())


@pytest.mark.parametrize("how", ["stalls", "fails", "cuts", "babbles", "floods"])
def test_a_service_that_does_not_answer_as_it_should_is_a_failure(how: str) -> None:
    async def main() -> None:
        async with service(analyzed) as server:
            server.how = how
            one = classifier(server, deadline=0.3 if how == "stalls" else 30.0)
            try:
                with pytest.raises((ServiceFailed, TidegateError, TimeoutError)):
                    await one.check("Bob is here.")
            finally:
                await one.close()

    run(main())


@pytest.mark.parametrize(
    "answer",
    [
        {"error": "no such language"},
        ["PERSON"],
        [{"entity_type": "PERSON", "start": 0, "end": 3}],
        [{"entity_type": 3, "start": 0, "end": 3, "score": 0.9}],
        [{"entity_type": "PERSON", "start": 0, "end": 99, "score": 0.9}],
        [{"entity_type": "PERSON", "start": 3, "end": 3, "score": 0.9}],
        [{"entity_type": "PERSON", "start": None, "end": 3, "score": 0.9}],
    ],
)
def test_an_answer_that_cannot_be_is_not_a_verdict(answer: Any) -> None:
    async def main() -> None:
        async with service(lambda _: answer) as server:
            one = classifier(server)
            try:
                with pytest.raises(ServiceFailed):
                    await one.check("Bob")
            finally:
                await one.close()

    run(main())
