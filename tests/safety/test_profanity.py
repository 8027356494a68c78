"""The word never leaves; what leaves does not depend on how the text was cut; the score is the package's own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.safety.cutting import cut_anywhere
from tidegate.relay.weights import profanity
from tidegate.safety.profanity import RULE, ProfanityFilter, ProfanityModel, SentenceScore
from tidegate.safety.rules import Action, Hit
from tidegate.safety.weights import pack, unpack

MODEL = profanity()
TINY = ProfanityModel(
    unpack(
        pack(
            {"folds": [[-1.0, -4.0, 0.0], [-1.0, -2.0, 0.0]]},
            ["calm", "darn", "rude"],
            [[1.0, -1.0, -1.0], [1.0, 3.0, 3.0], [2.0, 3.0, 3.0]],
            "d",
        )
    )
)
"""Four letters at most, and ``darn`` alone is over a half."""

TEXTS = st.lists(
    st.sampled_from(
        ["calm", "darn", "rude", "DARN", "a", "darnation", "_", " ", ". ", "\n", "!", ",", "é", "。", "12"]
    ),
    max_size=14,
).map("".join)


def through(
    pieces: list[str], action: Action, model: ProfanityModel = TINY, threshold: float = 0.5
) -> tuple[str, list[Hit]]:
    hits: list[Hit] = []
    stream = ProfanityFilter(model, threshold=threshold, action=action, key=b"k", on_hit=hits.append)
    out = "".join([stream.feed(piece) for piece in pieces]) + stream.close()
    return out, hits


@pytest.mark.parametrize(
    ("text", "probability"),
    [
        ("", 0.036375752016469504),
        ("The tide comes in twice a day.", 0.08947555514548144),
        ("You are a damn fool, and this is bullshit.", 0.9999992210327914),
        ("shit shit shit", 0.9999998255240877),
        ("Crêpes à la carte, and a hell of a bill", 0.9394644509167878),
    ],
)
def test_the_score_is_that_of_the_package(text: str, probability: float) -> None:
    """Values of ``alt-profanity-check`` 1.9.1; ``scripts/weights_of_profanity.py --check`` compares more."""
    assert MODEL.score(text) == pytest.approx(probability, abs=1e-9)


@settings(deadline=None)
@given(TEXTS, st.sampled_from([Action.BLOCK, Action.TAG]), st.data())
def test_any_chunking_gives_the_same_text_and_the_same_hits(text: str, action: Action, data: st.DataObject) -> None:
    whole = through([text], action)
    assert through(cut_anywhere(text, data), action) == whole
    assert through(list(text), action) == whole


@settings(deadline=None)
@given(TEXTS)
def test_a_text_without_a_hit_passes_and_one_with_a_hit_ends_before_it(text: str) -> None:
    out, hits = through([text], Action.BLOCK)
    if not hits:
        assert out == text
    else:
        (hit,) = hits
        assert out == text[: hit.position]
        assert text[hit.position : hit.position + hit.length].lower() in MODEL.words | TINY.words
    tagged, every = through([text], Action.TAG)
    assert tagged == text
    assert every[:1] == [Hit(RULE, Action.TAG, hit.position, hit.length, hit.digest) for hit in hits]


@settings(deadline=None)
@given(TEXTS)
def test_the_running_score_is_the_score_of_the_words_so_far(text: str) -> None:
    score = SentenceScore(TINY)
    words = text.split()
    for size, word in enumerate(words, 1):
        score.add(word.lower())
        again = SentenceScore(TINY)
        for each in words[:size]:
            again.add(each.lower())
        assert score.probability == pytest.approx(again.probability, abs=1e-12)


def test_only_a_word_is_held_and_no_longer_than_it_could_be_one() -> None:
    stream = ProfanityFilter(TINY, threshold=0.5, action=Action.BLOCK, key=b"k")
    assert stream.feed("a b") == "a "
    assert stream.held == 1
    assert stream.feed("cde") == ""
    assert stream.held == 4
    assert stream.feed("f") == "bcdef"
    assert stream.held == 0
    assert stream.feed("g dar") == "g "
    assert stream.close() == "dar"
    assert stream.close() == ""
    with pytest.raises(ValueError, match="closed"):
        stream.feed("x")


def test_nothing_leaves_after_the_word() -> None:
    stream = ProfanityFilter(TINY, threshold=0.5, action=Action.BLOCK, key=b"k")
    assert stream.feed("so darn it") == "so "
    assert stream.blocked == Hit(RULE, Action.BLOCK, 3, 4, stream.blocked.digest if stream.blocked else "")
    assert stream.feed("more") == ""
    assert stream.close() == ""


def test_a_sentence_begins_anew() -> None:
    """Its words do not count for the next one; a tag tells of each sentence once."""
    _, hits = through(["darn darn. darn\nok darn"], Action.TAG)
    assert [hit.position for hit in hits] == [0, 11, 19]


def test_real_words_in_real_sentences() -> None:
    out, hits = through(["The tide is fine. What the fuck is that?"], Action.BLOCK, MODEL, 0.9)
    assert out == "The tide is fine. What the "
    assert len(hits) == 1
    clean = "The harbour master wrote the height of the tide into the book, and closed it."
    assert through([clean], Action.BLOCK, MODEL, 0.9) == (clean, [])
