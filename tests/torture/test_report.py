"""torture/report.py: a line, a table, JUnit and JSON, all saying the same."""

from __future__ import annotations

import json
from xml.etree import ElementTree

from tidegate.torture.cases import CASES, Outcome
from tidegate.torture.report import as_json, as_junit, as_markdown, line, summary
from tidegate.torture.suite import Result

CASE = {case.name: case for case in CASES}
RESULTS = [
    Result(CASE["good"], Outcome.ANSWER, "", 0.1, 0.0),
    Result(CASE["done-only"], Outcome.FALSE_DONE, "19 characters", 0.2, 3.0),
]


def test_a_lie_stands_beside_what_was_expected() -> None:
    assert line(RESULTS[0]) == "ok   good                     the answer"
    assert "LIE  done-only" in line(RESULTS[1])
    assert "expected: an error that an SDK notices" in line(RESULTS[1])


def test_the_summary_counts_and_names_who_sulked() -> None:
    assert summary(RESULTS).startswith("1 of 2 cases ended honestly; it answered nothing good")
    assert summary(RESULTS).endswith("done-only")
    assert summary(RESULTS[:1]) == "1 of 1 cases ended honestly"


def test_junit_is_xml_with_a_failure_for_each_lie() -> None:
    (suite,) = ElementTree.fromstring(as_junit(RESULTS, 'http://h?a="<b>"'))
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    good, bad = suite
    assert good.find("failure") is None
    failure = bad.find("failure")
    assert failure is not None
    assert failure.get("type") == "FALSE_DONE"
    assert bad.get("classname") == "torture.failure"


def test_the_table_shows_lies_in_bold() -> None:
    rows = as_markdown(RESULTS).splitlines()
    assert len(rows) == 4
    assert rows[3].endswith("| **[DONE] without a finish reason (19 characters)** |")


def test_json_holds_everything() -> None:
    found = json.loads(as_json(RESULTS, "h"))
    assert (found["honest"], found["cases"], found["gateway"]) == (1, 2, "h")
    assert found["results"][1]["outcome"] == "false_done"
