"""Labelled sets of others: what is found of what they label, and what is found beside it.

``published`` is presidio-research's synthetic set (1,500 texts); ``literals`` are the examples that every rule of
gitleaks has in its own tests. The packages that ship them are fetched when first asked for.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from statistics import median
from typing import Any, NamedTuple

import phonenumbers

from bench.safety.go_samples import Sample, samples
from bench.safety.packages import gitleaks_rules, people_of_presidio, presidio_research
from tidegate.safety import Machine, Rule, compile, sanitize  # noqa: A004 # as re.compile
from tidegate.safety.builtin.phones import national
from tidegate.safety.builtin.pii import PII
from tidegate.safety.builtin.secrets import SECRETS

__all__ = ["literals", "published"]

KINDS = {
    "EMAIL_ADDRESS": "email", "CREDIT_CARD": "card", "IBAN_CODE": "iban", "US_SSN": "ssn", "IP_ADDRESS": "ip",
    "PHONE_NUMBER": "phone", "DATE_TIME": "date",
}  # fmt: skip
LABELS = {"phone-us": "phone", "phone-national": "phone", "ipv4": "ip", "ipv6": "ip", "birth-date": "date"}


class Span(NamedTuple):
    """A labelled part of a text, or a hit."""

    kind: str
    start: int
    end: int


def published() -> list[dict[str, object]]:
    """By kind: spans, how many were redacted exactly, and the share of hits that are labelled so.

    Of dates nothing is expected; one that a birth date ends with makes its hit a right one. With the countries named in
    which the set's people live (30 at once, which nobody would configure) national telephone numbers are found too.
    """
    rules = [*SECRETS.values(), *PII.values()]
    regions = sorted({row["Country"] for row in people_of_presidio()} & phonenumbers.SUPPORTED_REGIONS)
    every = _phones([*rules, national(regions)])
    alone = sorted(_beside([*rules, national([region])]) for region in regions)
    return [
        *_found(rules),
        {**every, "kind": f"phone, {len(regions)} regions"},
        {
            "kind": "phone, each region alone",
            "hits that are none": f"{alone[0]} to {alone[-1]}, median {median(alone)}",
        },
    ]


def _phones(rules: list[Rule]) -> dict[str, object]:
    return next(row for row in _found(rules) if row["kind"] == "phone")


def _beside(rules: list[Rule]) -> int:
    """Telephone numbers that were redacted where no part of one is labelled."""
    machine = compile(rules)
    return sum(
        hit.kind == "phone" and not any(span.start < hit.end and hit.start < span.end for span in labelled)
        for text in _texts()
        for labelled in [[span for span in _labelled(text) if span.kind == "phone"]]
        for hit in _redacted(machine, text)
    )


@cache
def _texts() -> list[Any]:
    return list(json.loads((presidio_research() / "data" / "synth_dataset_v2.json").read_text()))


def _labelled(text: Any) -> set[Span]:
    return {
        Span(KINDS[span["entity_type"]], span["start_position"], span["end_position"])
        for span in text["spans"]
        if span["entity_type"] in KINDS
    }


def _redacted(machine: Machine, text: Any) -> list[Span]:
    return [
        Span(LABELS.get(hit.rule, hit.rule), hit.position, hit.position + hit.length)
        for hit in sanitize(machine, text["full_text"], key=b"bench").hits
    ]


def _found(rules: list[Rule]) -> list[dict[str, object]]:
    machine = compile(rules)
    wanted, found, right, hits = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for text in _texts():
        labelled, redacted = _labelled(text), _redacted(machine, text)
        wanted.update(span.kind for span in labelled)
        found.update(span.kind for span in labelled & set(redacted))
        hits.update(span.kind for span in redacted)
        dates = {span.end for span in labelled if span.kind == "date"}
        right.update(span.kind for span in redacted if span in labelled or (span.kind == "date" and span.end in dates))
    rows: list[dict[str, object]] = [
        {
            "kind": kind,
            "spans": wanted[kind],
            "recall": found[kind] / wanted[kind],
            "hits": hits[kind],
            "precision": right[kind] / max(hits[kind], 1),
        }
        for kind in KINDS.values()
        if kind != "date"
    ]
    every = {"kind": "every rule", "hits": hits.total(), "precision": right.total() / hits.total()}
    return [*rows, every]


def literals() -> dict[str, object]:
    """Of rules that are also here: texts that must have a hit, by any rule; and texts that the rule must not hit.

    That is what gitleaks asks of its rules. A text that must not be hit by one may still hold somebody else's key.
    """
    machine = compile(list(SECRETS.values()))
    examples = {sample for file in sorted(gitleaks_rules().glob("*.go")) for sample in samples(file.read_text())}
    ours = [sample for sample in sorted(examples) if sample.rule in SECRETS]
    keys = [sample for sample in ours if sample.positive]
    others = [sample for sample in ours if not sample.positive]
    missed = [sample.rule for sample in keys if not _rules(machine, sample)]
    false = [sample.rule for sample in others if sample.rule in _rules(machine, sample)]
    return {
        "rules": len({sample.rule for sample in ours}),
        "keys": len(keys),
        "recall": 1 - len(missed) / len(keys),
        "no keys": len(others),
        "false": len(false) / len(others),
        "of another rule": sum(bool(_rules(machine, sample)) for sample in others) - len(false),
        "missed": missed,
        "found": false,
    }


def _rules(machine: Machine, sample: Sample) -> set[str]:
    return {hit.rule for hit in sanitize(machine, sample.text, key=b"bench").hits}
