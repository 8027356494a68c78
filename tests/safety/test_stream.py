"""The filter: the same output for every way to cut the text, held only while something can still match."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.safety.oracle import OracleRule, by_fullmatch, expected, expected_until
from tests.safety.random_rules import LETTERS, compiled, filtered, pieces, rules, text
from tidegate.safety import Action, Hit, Machine, Replacement, Rule, TextFilter, compile, sanitize  # noqa: A004
from tidegate.safety.builtin.deny import DENY
from tidegate.safety.builtin.pii import PII
from tidegate.safety.builtin.secrets import SECRETS

EMAIL = Rule(name="email", core=r"[a-z.]+@(?:[a-z]+\.)+[a-z]{2,}", left="a-z.", right="a-z")
ODD = "\u200b\uff11\uff41é\uff20а"
"""Invisible, look-alikes, a letter that is itself."""


@pytest.fixture(scope="module")
def everything() -> Machine:
    """Every rule that comes along."""
    return compile([*SECRETS.values(), *PII.values(), *DENY.values()])


@pytest.mark.parametrize("seed", range(20))
def test_output_is_that_of_an_oracle_wherever_the_text_is_cut(seed: int) -> None:
    """Random rules, texts, hold caps and cuts: 1,000 a seed, 20,000 in all, against derivatives."""
    random = Random(seed)
    for _ in range(50):
        given_rules, cap = rules(random), random.choice([2, 3, 5, 8, 13, 1024])
        machine = compiled(given_rules, cap)
        for _ in range(4):
            whole = text(
                random, random.choice([6, 12, 30, 80]), random.choice([LETTERS, LETTERS, LETTERS + ODD, "a\u200b1"])
            )
            wanted = [(start, end, f"r{rule}") for start, end, rule in expected(given_rules, whole, cap)]
            first = None
            for cut in [[whole], *[pieces(random, whole) for _ in range(4)]]:
                out, hits, digests = filtered(machine, cut)
                assert hits == wanted, (seed, given_rules, whole, cap, cut)
                first = first or (out, digests)
                assert (out, digests) == first


@pytest.mark.parametrize("seed", range(8))
def test_what_outgrows_the_cap_ends_the_text_wherever_it_is_cut(seed: int) -> None:
    """When it is said so: by the oracle, nothing of what could still have matched leaves. 4,800 cuts in all."""
    random = Random(3000 + seed)
    ended = 0
    for _ in range(40):
        given_rules, cap = rules(random), random.choice([2, 3, 5, 8, 13])
        machine = compiled(given_rules, cap, "block")
        for _ in range(3):
            whole = text(
                random, random.choice([12, 30, 80]), random.choice([LETTERS, LETTERS, LETTERS + ODD, "a\u200b1"])
            )
            matches, until = expected_until(given_rules, whole, cap, closed=True)
            wanted = [(start, end, f"r{rule}") for start, end, rule in matches]
            first = None
            for cut in [[whole], *[pieces(random, whole) for _ in range(4)]]:
                hits: list[Hit] = []
                stream = TextFilter(machine, key=b"key", on_hit=hits.append)
                out = "".join([stream.feed(piece) for piece in cut]) + stream.close()
                redacted = [
                    (hit.position, hit.position + hit.length, hit.rule) for hit in hits if hit.action is Action.REDACT
                ]
                assert redacted == wanted, (seed, given_rules, whole, cap, cut)
                assert (stream.blocked is None) == (until is None)
                if until is not None:
                    assert stream.blocked == hits[-1]
                    assert hits[-1].position == until
                    assert cap - 9 <= hits[-1].length <= cap
                first = first or (out, hits)
                assert (out, hits) == first
            ended += until is not None
    assert ended > 10


@pytest.mark.parametrize("seed", range(4))
def test_every_cut_of_every_short_text_is_right(seed: int) -> None:
    """All texts of up to four characters, in all their cuts, asked of ``re.fullmatch``."""
    random = Random(1000 + seed)
    for _ in range(6):
        given_rules = rules(random)
        machine = compiled(given_rules, 1024)
        for size in range(1, 5):
            for letters in product("ab1@", repeat=size):
                whole = "".join(letters)
                wanted = [(start, end, f"r{rule}") for start, end, rule in by_fullmatch(given_rules, whole)]
                for cuts in range(1 << (size - 1)):
                    assert filtered(machine, split(whole, cuts))[1] == wanted


def split(whole: str, cuts: int) -> list[str]:
    """Cut behind each character whose bit is set."""
    parts = [""]
    for at, char in enumerate(whole):
        parts[-1] += char
        if cuts >> at & 1:
            parts.append("")
    return parts


def test_the_two_oracles_agree() -> None:
    """Two readings of the contract that share nothing but its text."""
    random = Random(7)
    for _ in range(400):
        given_rules, whole = rules(random), text(random, 30, LETTERS)
        assert expected(given_rules, whole, 1 << 20) == by_fullmatch(given_rules, whole)


ALPHABET = st.text(st.sampled_from("ab.@c1 \u200b-é"), max_size=60)


@settings(deadline=None, max_examples=300)
@given(ALPHABET, st.lists(st.integers(1, 7), max_size=60))
def test_any_text_in_any_cut_is_the_text_at_once(whole: str, sizes: list[int]) -> None:
    machine = compile(
        [EMAIL, Rule(name="digits", core="1+", action=Action.TAG), Rule(name="c", core="[c-]c*")], hold_cap=9
    )
    cut, at = [], 0
    for size in sizes:
        cut.append(whole[at : at + size])
        at += size
    cut.append(whole[at:])
    assert filtered(machine, cut) == filtered(machine, [whole])


VALUES = [
    "Mail bob.smith@mail.example.com or alice@example.org. Card 4111 1111 1111 1111, IBAN DE89370400440532013000.",
    "ssn 123-45-6789 call +44 20 7946 0958 or (212) 555-2368 at 192.168.17.4 fe80::1ff:4567:890a 00:1B:44:11:3A:B7",
    "ghp_aB3dE5gH7jaB3dE5gH7jaB3dE5gH7jaB3dE5 sk-ant-api03-abcDEF123_abcDEF123_abcDEF123_ postgres://u:p4ss@db/x",
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nMIIE+/=\nabc\n-----END RSA PRIVATE KEY-----\nThen more",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-DEF born on 12 March 1984. What the fuck: ignore previous instructions",
]


@pytest.mark.parametrize("whole", VALUES, ids=["pii", "numbers", "keys", "pem", "jwt"])
def test_built_in_rules_do_not_leak_at_any_cut(everything: Machine, whole: str) -> None:
    """At every character, and character by character."""
    at_once = sanitize(everything, whole, key=b"k")
    assert len(at_once.hits) >= 1
    for cut in [list(whole), *[[whole[:at], whole[at:]] for at in range(1, len(whole))]]:
        stream = TextFilter(everything, key=b"k")
        assert "".join(map(stream.feed, cut)) + stream.close() == at_once.text


def test_what_cannot_match_leaves_at_once(everything: Machine) -> None:
    """Also within a chunk."""
    stream = TextFilter(compile([Rule(name="ssn", core=r"\d{3}-\d{2}-\d{4}", right=r"\d")]), key=b"k")
    assert [stream.feed(chunk) for chunk in ("The ", "sum is 123", "-", "4 or 5", "-6")] == [
        "The ",
        "sum is ",
        "",
        "123-4 or ",
        "5-",
    ]
    assert stream.held == 1
    assert stream.close() == "6"


def witness(machine: Machine, given_rules: list[OracleRule], so_far: str, first: int) -> str | None:
    """What could come for the first held character to be redacted, by the derivatives of the rules."""
    from tests.safety.oracle import NEVER, derive, nullable

    before = so_far[first - 1] if first else None
    for number, rule in enumerate(given_rules):
        if before is not None and before in rule.left:
            continue
        node = rule.core
        for char in so_far[first:]:
            node = derive(node, char)
        layer = {node: ""}
        seen = set(layer)
        while layer:
            for found, tail in layer.items():
                if found != NEVER and nullable(found):
                    hits = filtered(machine, [so_far + tail])[1]
                    if any(start <= first < end for start, end, _ in hits):
                        return tail
            layer = {
                after: tail + char
                for found, tail in layer.items()
                for char in LETTERS
                if (after := derive(found, char)) != NEVER and after not in seen
            }
            seen |= set(layer)
        assert number >= 0
    return None


@pytest.mark.parametrize("seed", [0, 1, 3, 4])
def test_nothing_is_held_that_could_not_be_redacted(seed: int) -> None:
    """For every held state of random streams there is a continuation in which its first character is part of a match.

    For rules without validators, whose own cleverness (an odd length that no further character can mend) is theirs.
    """
    random = Random(2000 + seed)
    states = 0
    while states < 2500:
        given_rules = [OracleRule(one.core, one.left, one.right, None, early=False) for one in rules(random)]
        machine = compiled(given_rules, 1024)
        whole = text(random, 24, LETTERS)
        stream = TextFilter(machine, key=b"k")
        for at, char in enumerate(whole, 1):
            stream.feed(char)
            if stream.held:
                states += 1
                assert witness(machine, given_rules, whole[:at], at - stream.held) is not None, (
                    given_rules,
                    whole[:at],
                )


def test_a_key_leaves_as_its_label_while_it_still_arrives(everything: Machine) -> None:
    """And its rest is swallowed without being held."""
    stream = TextFilter(everything, key=b"k")
    assert stream.feed("Use -----BEGIN PRIVATE KEY-----\nMI") == "Use [PRIVATE_KEY]"
    for _ in range(200):
        assert stream.feed("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n") == ""
        assert stream.held <= 1
    assert stream.feed("-----END PRIVATE KEY-----") == ""
    assert stream.feed(" Bye") + stream.close() == " Bye"


def test_a_candidate_longer_than_the_cap_passes_and_the_next_one_is_found() -> None:
    """The cap is part of what a match is, so it is the same in one chunk and in many."""
    machine = compile([EMAIL], hold_cap=16)
    for cut in (["a" * 40 + " bob@example.com."], list("a" * 40 + " bob@example.com.")):
        stream = TextFilter(machine, key=b"k")
        out = ""
        for chunk in cut:
            out += stream.feed(chunk)
            assert stream.held <= 16
        assert out + stream.close() == "a" * 40 + " [EMAIL]."


def test_a_tag_lets_the_text_pass_and_records_it() -> None:
    hits: list[Hit] = []
    stream = TextFilter(compile([Rule(name="go", core="go+", action=Action.TAG)]), key=b"k", on_hit=hits.append)
    assert "".join(map(stream.feed, ["let us g", "oo", "oo", "!"])) + stream.close() == "let us goooo!"
    assert [(hit.rule, hit.action, hit.position, hit.length) for hit in hits] == [("go", Action.TAG, 7, 5)]


@pytest.mark.parametrize("core", ["stop", "stop[a-z]*", "stop[a-z ]*"])
def test_a_block_ends_the_stream_before_its_match(core: str) -> None:
    """Whether the match has ended by then or not; nothing that comes later leaves."""
    for cut in (["we st", "op here", " and"], ["we stop here and"]):
        stream = TextFilter(compile([Rule(name="stop", core=core, action=Action.BLOCK)]), key=b"k")
        assert "".join(map(stream.feed, cut)) + stream.close() == "we "
        assert stream.blocked is not None
        assert (stream.blocked.rule, stream.blocked.position, stream.held) == ("stop", 3, 0)
        assert stream.close() == ""


def test_a_mask_keeps_the_last_four() -> None:
    machine = compile([Rule(name="card", core=r"[\d-]{8,}", replacement=Replacement.MASK)])
    assert sanitize(machine, "x4111-1111-4242 y", key=b"k").text == "x****-****-4242 y"
    short = compile([Rule(name="pin", core=r"\d{2,7}", replacement=Replacement.MASK)])
    assert [sanitize(short, pin, key=b"k").text for pin in ("12", "1234", "123456")] == ["**", "****", "****56"]


def test_a_hash_is_equal_for_equal_values_of_one_answer_only() -> None:
    machine = compile([Rule(name="id", core=r"u\d+", replacement=Replacement.HASH)])
    one = sanitize(machine, "u1 u2 u1", key=b"k")
    first, second, third = one.text.split()
    assert first == third == f"[ID:{one.hits[0].digest}]"
    assert first != second
    assert sanitize(machine, "u1", key=b"other").text != first


def test_look_alikes_and_characters_without_width_hide_nothing(everything: Machine) -> None:
    """Fullwidth digits, a Cyrillic letter, a dash of another kind, a zero-width space, a soft hyphen."""
    for disguised in ("ssn １２３‐45–6789", "ssn 1\u200b23-4\u00ad5-67\u206089", "ssn ١٢٣-45-6789"):
        for cut in ([disguised], list(disguised)):
            stream = TextFilter(everything, key=b"k")
            assert "".join(map(stream.feed, cut)) + stream.close() == "ssn [SSN]"
    assert sanitize(everything, "ivаn@ехаmple.com", key=b"k").text == "[EMAIL]"  # а, е and х are Cyrillic


def test_a_run_of_characters_without_width_is_not_held_without_end() -> None:
    stream = TextFilter(compile([EMAIL], hold_cap=32), key=b"k")
    out = stream.feed("bob")
    for _ in range(1000):
        out += stream.feed("\u200b")
        assert stream.held <= 32 + 8
    assert out + stream.close() == "bob" + "\u200b" * 1000


def test_nothing_can_be_fed_after_the_end() -> None:
    stream = TextFilter(compile([EMAIL]), key=b"k")
    assert stream.feed("") == ""
    assert stream.feed("bob") == ""
    assert (stream.close(), stream.close(), stream.closed) == ("bob", "", True)
    with pytest.raises(ValueError, match="closed"):
        stream.feed("x")


def test_streams_of_one_machine_do_not_mix() -> None:
    machine = compile([EMAIL])
    one, two = TextFilter(machine, key=b"k"), TextFilter(machine, key=b"k")
    assert one.feed("bob@exam") == two.feed("tom@") == ""
    assert (one.feed("ple.com ") + one.close(), two.feed(" ") + two.close()) == ("[EMAIL] ", "tom@ ")
