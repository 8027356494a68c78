"""Many chunks, one answer, beyond what the corpus shows."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tidegate.events import Event, Failed, Finished, TextDelta, ToolCallDelta, Usage
from tidegate.wire.openai_chat import ChatAssembler, Choice, Chunk, Delta, decode_chunk, encode_chunk


def assembled(*chunks: Chunk) -> ChatAssembler:
    assembler = ChatAssembler()
    for chunk in chunks:
        assembler.feed(chunk)
    return assembler


def message_of(*deltas: Delta) -> dict[str, Any]:
    message: dict[str, Any] = assembled(*(Chunk(choices=[Choice(0, d)]) for d in deltas)).result()["choices"][0][
        "message"
    ]
    return message


def test_nothing_is_an_answer_without_choices() -> None:
    """And not complete."""
    assembler = ChatAssembler()
    assert assembler.result() == {"id": "", "object": "chat.completion", "created": 0, "model": "", "choices": []}
    assert not assembler.complete
    assert assembler.text == ""
    assert assembler.finish_reasons == {}
    assert assembler.usage is None
    assert assembler.error is None


def test_the_text_is_the_first_choice_s() -> None:
    """First by index, not by time."""
    assembler = assembled(
        Chunk(choices=[Choice(1, Delta(content="b"))]), Chunk(choices=[Choice(0, Delta(content="a"))])
    )
    assert assembler.text == "a"


def test_the_text_of_a_whole_message_is_its_content() -> None:
    """A server that sends no deltas."""
    assert assembled(Chunk(choices=[Choice(message={"content": "all"})])).text == "all"
    assert assembled(Chunk(choices=[Choice(message={"content": None})])).text == ""


def test_lonely_halves_of_surrogate_pairs_become_replacement_characters() -> None:
    """In the text and anywhere else: the answer must be JSON that any encoder takes."""
    assembler = assembled(
        Chunk(choices=[Choice(0, Delta(content="a\ud83c"), logprobs={"content": [{"token": "\ud83c", "p": 1.5}]})])
    )
    assert assembler.text == "a\ufffd"
    choice = assembler.result()["choices"][0]
    assert choice["message"]["content"] == "a\ufffd"
    assert choice["logprobs"] == {"content": [{"token": "\ufffd", "p": 1.5}]}


def test_the_first_error_is_kept() -> None:
    """What comes after it is its consequence."""
    assert assembled(Chunk(error="first"), Chunk(error="second")).error == Failed("first")


def test_usage_from_another_place_replaces_an_older_one() -> None:
    """The last report counts, and is not mixed with one before it."""
    assembler = assembled(
        Chunk(usage={"prompt_tokens": 1, "completion_tokens": 1, "cost": 9}),
        Chunk(x_groq={"usage": {"prompt_tokens": 1, "completion_tokens": 2}}),
    )
    assert assembler.usage == Usage(1, 2)
    assert assembler.result()["usage"]["completion_tokens"] == 2
    assert "cost" not in assembler.result()["usage"]


def test_the_result_can_be_asked_for_twice() -> None:
    """And in the middle of a stream."""
    assembler = assembled(Chunk(choices=[Choice(0, Delta(content="a", reasoning_details=[{"text": "x"}]))]))
    assert assembler.result() == assembler.result()
    assembler.feed(Chunk(choices=[Choice(0, Delta(content="b"), "stop")]))
    assert assembler.result()["choices"][0]["message"]["content"] == "ab"


def test_feeding_leaves_the_chunks_as_they_were() -> None:
    """A chunk may be fed to two assemblers."""
    data = (
        b'{"choices":[{"logprobs":{"content":[1]},"delta":{"reasoning_details":[{"type":"reasoning.text","text":"a"}],'
        b'"annotations":[1],"audio":{"data":"A"}}}]}'
    )
    chunk = decode_chunk(data)
    assembled(chunk, chunk, chunk)
    assert chunk == decode_chunk(data)


def test_log_probabilities_of_all_shapes_are_joined() -> None:
    """Lists run on; anything else is kept from where it was first said."""
    parts: list[dict[str, Any]] = [
        {"content": None, "note": None},
        {"content": [1]},
        {"content": [2], "note": "n"},
        {"note": "m"},
    ]
    chunks = [Chunk(choices=[Choice(logprobs=part)]) for part in parts]
    assert assembled(*chunks).result()["choices"][0]["logprobs"] == {"content": [1, 2], "note": "n"}


def test_reasoning_details_join_only_where_they_go_on() -> None:
    """Same kind, same place, same id; a blob never joins, and neither does what is no object."""
    details: list[Any] = [
        "odd",
        {"type": "reasoning.text", "text": "a", "id": "1"},
        {"type": "reasoning.text", "text": "b"},
        {"type": "reasoning.text", "text": "c", "id": "2"},
        {"type": "reasoning.summary", "summary": "d"},
        {"type": "reasoning.text", "text": "e", "index": 1},
        {"type": "reasoning.encrypted", "data": "f", "index": 1},
        "odder",
    ]
    assert message_of(*(Delta(reasoning_details=[detail]) for detail in details))["reasoning_details"] == [
        "odd",
        {"type": "reasoning.text", "text": "ab", "id": "1"},
        {"type": "reasoning.text", "text": "c", "id": "2"},
        {"type": "reasoning.summary", "summary": "d"},
        {"type": "reasoning.text", "text": "e", "index": 1},
        {"type": "reasoning.encrypted", "data": "f", "index": 1},
        "odder",
    ]


def test_audio_runs_on_and_null_says_nothing() -> None:
    """Sound and transcript are fragments; of the rest the last value counts."""
    parts: list[dict[str, Any]] = [{"id": "a", "data": "A"}, {"id": None, "data": "B"}, {"data": None, "expires_at": 2}]
    assert message_of(*(Delta(audio=part) for part in parts))["audio"] == {"id": "a", "data": "AB", "expires_at": 2}


def test_extra_content_of_the_message_is_kept() -> None:
    """Gemini's thought signature for text."""
    assert message_of(Delta(content="a", extra_content={"google": {"x": 1}}))["extra_content"] == {"google": {"x": 1}}


_PIECES = st.lists(
    st.builds(TextDelta, st.text(min_size=1, max_size=5), st.integers(0, 1))
    | st.builds(ToolCallDelta, st.integers(0, 2), st.none(), st.none(), st.text(max_size=5), st.integers(0, 1)),
    max_size=20,
)


@given(_PIECES)
def test_an_answer_is_the_sum_of_its_pieces(pieces: list[Event]) -> None:
    """Text and arguments per choice and call, however they interleave; equal neighbours are kept."""
    ends: list[Event] = [Finished("stop", 0), Finished("length", 1)]
    stream = [encode_chunk(piece, id="c", model="m", created=1) for piece in pieces + ends]
    assembler = assembled(*(decode_chunk(data) for data in stream))
    assert assembler.complete
    assert assembler.finish_reasons == {0: "stop", 1: "length"}
    for choice in assembler.result()["choices"]:
        ours = [piece for piece in pieces if getattr(piece, "choice", None) == choice["index"]]
        text = "".join(piece.text for piece in ours if isinstance(piece, TextDelta))
        assert (choice["message"]["content"] or "") == text
        calls: dict[int, str] = {}
        for piece in ours:
            if isinstance(piece, ToolCallDelta):
                calls[piece.index] = calls.get(piece.index, "") + piece.arguments
        got = [call["function"]["arguments"] for call in choice["message"].get("tool_calls", [])]
        assert got == [calls[index] for index in sorted(calls)]


@given(st.lists(st.text(max_size=8), max_size=10), st.lists(st.integers(0, 80), max_size=8))
def test_how_a_text_is_cut_into_deltas_never_shows(texts: list[str], places: list[int]) -> None:
    """The whole answer is the same for every tokeniser."""
    whole = "".join(texts)
    ends = [*sorted(min(place, len(whole)) for place in places), len(whole)]
    pieces = [whole[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    finish = Chunk(choices=[Choice(finish_reason="stop")])

    def answer(parts: list[str]) -> dict[str, Any]:
        return assembled(
            Chunk(choices=[Choice(0, Delta(content=""))]),
            *(Chunk(choices=[Choice(0, Delta(content=part))]) for part in parts),
            finish,
        ).result()

    assert answer(texts) == answer(pieces) == answer([whole])
