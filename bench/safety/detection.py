"""What is found of what should be, and what is found where nothing is.

The labelled sets are made here, by a seed: values by the generators of their own standards in the sentences of
presidio-research's templates and in ours; keys from the expressions of gitleaks as its own tests make them, each with a
near miss. They say how complete the rules are for what they claim; they do not say how often real people write their
numbers in other ways.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator
from random import Random

import phonenumbers
from tests.safety.builtin.instances import instance

from bench.safety.packages import people_of_presidio, templates_of_presidio
from bench.safety.texts import code, markdown, prose, sentences
from tidegate.safety import Machine, compile, sanitize  # noqa: A004 # as re.compile
from tidegate.safety.builtin.checks import entropy_of
from tidegate.safety.builtin.phones import national
from tidegate.safety.builtin.pii import PII
from tidegate.safety.builtin.prefixes import PREFIXES
from tidegate.safety.builtin.secrets import SECRETS
from tidegate.safety.profile import Channel, Profiles

__all__ = ["ordinary", "people", "phones", "secrets"]

SENTENCES = [
    "Please send it to {} before Friday.", "My number is {}, thanks!", "({})", "What does {} stand for?", '"{}"',
    "Use {}; it worked for me.", "- {}\n- the other one", "It was {} — or so they said.", "key: {}\n", "({}), he said.",
]  # fmt: skip


def _digits(random: Random, count: int) -> str:
    return "".join(random.choice(string.digits) for _ in range(count))


def _luhn(body: str) -> str:
    """The number with its check digit: by trial, on the definition."""
    for check in string.digits:
        total = 0
        for at, digit in enumerate(reversed(body + check)):
            value = int(digit) * (2 if at % 2 else 1)
            total += value - 9 if value > 9 else value
        if total % 10 == 0:
            return body + check
    raise AssertionError


def card(random: Random) -> str:
    """Visa, Mastercard, American Express, Discover, Diners, JCB, Maestro; plain, spaced or dashed."""
    prefix, size = random.choice(
        [("4", 16), ("51", 16), ("2221", 16), ("37", 15), ("6011", 16), ("36", 14), ("3530", 16), ("6759", 12)]
    )
    number = _luhn(prefix + _digits(random, size - len(prefix) - 1))
    groups = {16: (4, 4, 4, 4), 15: (4, 6, 5), 14: (4, 6, 4), 12: (4, 4, 4)}[size]
    separator = random.choice(["", "", " ", "-"])
    parts, at = [], 0
    for group in groups:
        parts.append(number[at : at + group])
        at += group
    return separator.join(parts)


def iban(random: Random) -> str:
    """Countries whose account numbers are digits, and Britain's, which begins with letters."""
    country, size = random.choice(
        [("DE", 22), ("FR", 27), ("ES", 24), ("NO", 15), ("PL", 28), ("BE", 16), ("GB", 22), ("CH", 21)]
    )
    body = _digits(random, size - 4)
    if country == "GB":
        body = "".join(random.choices(string.ascii_uppercase, k=4)) + body[4:]
    number = int("".join(str(int(char, 36)) for char in f"{body}{country}00"))
    whole = f"{country}{98 - number % 97:02d}{body}"
    if random.random() < 0.4:
        whole = " ".join(whole[at : at + 4] for at in range(0, len(whole), 4))
    return whole.lower() if random.random() < 0.1 else whole


def email(random: Random) -> str:
    """First.last, numbers, tags, sub-domains."""
    name = random.choice(["bob", "alice.smith", "j.r.r", "o'neil", "x_y", "max99", "kim+lists"])
    domain = random.choice(
        ["example.com", "mail.example.co.uk", "uni-kiel.de", "a.io", "t-online.de", "xn--bcher-kva.ch"]
    )
    return f"{name}{random.randint(0, 99)}@{domain}"


def ssn(random: Random) -> str:
    """As the Social Security Administration gives them out."""
    area = random.choice([random.randint(1, 665), random.randint(667, 899)])
    separator = random.choice(["-", "-", " "])
    return f"{area:03d}{separator}{random.randint(1, 99):02d}{separator}{random.randint(1, 9999):04d}"


def ip(random: Random) -> str:
    """Version 4, and version 6 in three forms."""
    if random.random() < 0.6:
        return ".".join(str(random.randint(1, 254) if at == 0 else random.randint(0, 255)) for at in range(4)).replace(
            "127.", "12.", 1
        )
    groups = [f"{random.randint(0x1000, 0xFFFF):x}" for _ in range(8)]
    return random.choice(
        [":".join(groups), f"2001:db8::{groups[0]}:{groups[1]}", f"fe80::{groups[2]}:{groups[3]}:{groups[4]}:1a"]
    )


def phone(random: Random) -> str:
    """International and North American; national numbers of other countries need a region, and are not here."""
    number = _digits(random, 7)
    return random.choice(
        [
            f"+44 20 7{number[:3]} {number[3:]}", f"+49 30 {number}", f"+33 6 12 {number[:2]} {number[2:4]} 07",
            f"(212) 555-{number[:4]}", f"212-555-{number[:4]}", f"+1 415 555 {number[:4]}", f"415.555.{number[:4]}",
        ]
    )  # fmt: skip


KINDS: dict[str, Callable[[Random], str]] = {
    "email": email, "card": card, "iban": iban, "ssn": ssn, "ip": ip, "phone": phone,
}  # fmt: skip
LABELS = {"phone-us": "phone", "ipv4": "ip", "ipv6": "ip"}
TEMPLATES = {
    "email": "email", "credit_card_number": "card", "iban": "iban", "ssn": "ssn", "ip_address": "ip",
    "phone_number": "phone",
}  # fmt: skip


def templates() -> Iterator[tuple[str, str]]:
    """Sentences with one place for a value, and its kind."""
    for line in templates_of_presidio():
        names = re.findall(r"\{\{(\w+)\}\}", line)
        kinds = [TEMPLATES[name] for name in names if name in TEMPLATES]
        if len(kinds) == 1:
            yield re.sub(r"\{\{(\w+)\}\}", lambda match: "{}" if match[1] in TEMPLATES else "Smith", line), kinds[0]
    for sentence in SENTENCES:
        for kind in KINDS:
            yield sentence, kind


def people(each: int = 20) -> list[dict[str, object]]:
    """Recall and precision by kind: a value counts as found when exactly it was redacted, under its name."""
    random = Random(11)
    machine = compile(list(PII.values()))
    wanted, right, wrong = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0)
    for sentence, kind in list(templates()) * each:
        value = KINDS[kind](random)
        at = sentence.index("{}")
        text = sentence.replace("{}", value, 1)
        wanted[kind] += 1
        for hit in sanitize(machine, text, key=b"bench").hits:
            name = LABELS.get(hit.rule, hit.rule)
            if (name, hit.position, hit.length) == (kind, at, len(value)):
                right[kind] += 1
            else:
                wrong[kind] += 1
    return [
        {
            "kind": kind,
            "values": wanted[kind],
            "recall": right[kind] / wanted[kind],
            "precision": right[kind] / max(right[kind] + wrong[kind], 1),
        }
        for kind in KINDS
    ]


def phones() -> list[dict[str, object]]:
    """National telephone numbers of the people of presidio-research, each with its country's region named.

    They are made up, and a third of them no country has given out: of those nothing is expected.
    """
    by: dict[str, list[int]] = {}
    machines: dict[str, Machine] = {}
    random = Random(13)
    for row in people_of_presidio():
        region, number = row["Country"], row["TelephoneNumber"]
        if region not in phonenumbers.SUPPORTED_REGIONS:
            continue
        if region not in machines:
            machines[region] = compile([national([region])])
        counts = by.setdefault(region, [0, 0, 0, 0])
        counts[0] += 1
        text = random.choice(SENTENCES).replace("{}", number, 1)
        found = sanitize(machines[region], text, key=b"bench")
        try:
            valid = phonenumbers.is_valid_number(phonenumbers.parse(number, region))
        except phonenumbers.NumberParseException:
            valid = False
        counts[1] += valid
        counts[2 if valid else 3] += number not in found.text
    rows: list[dict[str, object]] = []
    for name, (numbers, valid, right, other) in [
        ("all", [sum(column) for column in zip(*by.values(), strict=True)]),
        *sorted(by.items(), key=lambda item: item[1][2] / max(item[1][1], 1))[:8],
    ]:
        recall = right / valid if valid else "–"
        rows.append(
            {"region": name, "numbers": numbers, "given out": valid, "recall": recall, "found of others": other}
        )
    return rows


def secrets(each: int = 10) -> dict[str, object]:
    """Keys of every prefix rule, and of each a near miss: another beginning, or cut short."""
    random = Random(12)
    machine = compile(list(SECRETS.values()))
    found = missed = false = negatives = 0
    misses: dict[str, int] = {}
    for name, core, _, _, least in PREFIXES:
        for seed in range(each):
            key = instance(core, seed)
            if not entropy_of(least)(key):
                continue  # gitleaks would not take it either
            sentence = random.choice(SENTENCES)
            if key in sanitize(machine, sentence.replace("{}", key), key=b"bench").text:
                missed += 1
                misses[name] = misses.get(name, 0) + 1
            else:
                found += 1
            negatives += 1
            wrong = "zq" + key[2:].lower() if seed % 2 else key[: max(3, len(key) // 4)]
            false += wrong not in sanitize(machine, sentence.replace("{}", wrong), key=b"bench").text
    return {
        "keys": found + missed,
        "recall": found / (found + missed),
        "near misses": negatives,
        "false": false / negatives,
        "missed": misses,
    }


def ordinary(count: int = 6000) -> list[dict[str, object]]:
    """Hits on sentences of prose, markdown and code. Those with an @ are set aside: mostly somebody's address stands in
    them, and is rightly found.
    """
    rows: list[dict[str, object]] = []
    profiles = Profiles()
    texts = {"prose": prose(2_000_000), "markdown": markdown(600_000), "code": code(2_000_000)}
    for name in ("default", "strict"):
        machine = profiles.named(name).machine(Channel.OUTPUT)
        assert machine is not None
        for kind, text in texts.items():
            whole = sentences(text)
            every = [sentence for sentence in whole if "@" not in sentence][: count // 3]
            hits: dict[str, int] = {}
            for sentence in every:
                for hit in sanitize(machine, sentence, key=b"bench").hits:
                    hits[hit.rule] = hits.get(hit.rule, 0) + 1
            rows.append({"profile": name, "text": kind, "sentences": len(every), "hits": hits or "none"})
    return rows
