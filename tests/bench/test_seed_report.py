"""bench/seed_report.py: ours beside what is published, and never as if they were the same."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tidegate.bench.mobile import Coding, Mobile
from tidegate.bench.seed import Filtered, SeedOptions, Spread, WayResult
from tidegate.bench.seed_report import NOTES, PUBLISHED, document, interval, sources, table


def result(way: str, complete: int = 8) -> WayResult:
    return WayResult(
        way=way,
        readers=10,
        complete=complete,
        impatient=1,
        distracted=1,
        failed=0,
        ttft=Spread(0.4, 0.5, 0.6),
        perceived=Spread(0.41, 0.5, 0.61),
        total=None,
        peak_rss=45_000_000,
        tokens_planned=1000,
        tokens_saved=50,
    )


RESULTS = [result(way) for way in PUBLISHED]
IN_PAGES = [replace(one, painted=Spread(0.42, 0.52, 0.62), pages=10) for one in RESULTS]


def test_the_table_holds_ours_and_theirs_and_every_note() -> None:
    text = table(RESULTS, SeedOptions())
    for part in (
        "400-600",
        "500 (410-610)",
        "1200-1800",
        "180-300",
        "94%",
        "420",
        "80.0% (49%-94%)",
        "50 (5.0%)",
        "20.0%",
    ):
        assert part in text
    flat = " ".join(text.split())
    for note in NOTES:
        assert note in flat
    assert "5.8% of all per second" in text


def test_the_table_says_where_perceived_latency_is_from() -> None:
    plain, terminal = SeedOptions(), SeedOptions(screen_name="terminal")
    assert "  plain text" in table(RESULTS, plain)
    assert "browser" not in table(RESULTS, plain)
    text = table(IN_PAGES, terminal)
    rows = {cells[1].strip(): cells[2].strip() for line in text.splitlines() if len(cells := line.split("|")) > 4}
    assert (rows["browser, 10 pages"], rows["terminal"]) == ("520 (420-620)", "500 (410-610)")
    assert "that failed" not in text
    assert [note.split(".")[0] for note in sources(IN_PAGES, terminal)] == ["Browser", "Terminal"]
    flat = " ".join(text.split())
    assert all(note in flat for note in sources(IN_PAGES, terminal))
    broken = replace(IN_PAGES[0], painted=None, pages_failed=10)
    assert "    pages that failed" in table([broken, *IN_PAGES[1:]], terminal)


def test_the_document_says_where_perceived_latency_is_from() -> None:
    options = SeedOptions(screen_name="terminal", browser="/opt/chrome")
    assert {way["perceived_in"] for way in document(RESULTS, options)["ways"].values()} == {"terminal"}
    found = document(IN_PAGES, options)
    assert {way["perceived_in"] for way in found["ways"].values()} == {"browser"}
    assert len(found["notes"]) == len(NOTES) + 2
    assert "/opt/chrome" not in json.dumps(found)


def test_the_document_is_json_with_its_options_and_notes() -> None:
    found = json.loads(json.dumps(document(RESULTS, SeedOptions())))
    assert found["ways"]["sse"]["completion"] == 0.8
    assert found["ways"]["sse"]["published"]["completion"] == 0.94
    assert found["options"]["abandonment"] == {"grace": 2.0, "slope": 0.058, "distraction": 0.01}
    assert len(found["notes"]) == len(NOTES) + 1 == 6


@pytest.mark.parametrize(("part", "whole"), [(0, 10), (5, 10), (10, 10), (93, 100)])
def test_the_interval_holds_the_share(part: int, whole: int) -> None:
    low, high = interval(part, whole)
    assert 0.0 <= low <= part / whole <= high <= 1.0
    assert high - low < 0.65


def test_what_a_filter_adds_stands_beside_what_is_published_for_gates() -> None:
    """Only where it was measured."""
    filtered = Filtered(profile="strict", readers=40, total=0.0042, ttft=0.0261)
    through = [*RESULTS[:-1], replace(RESULTS[-1], filtered=filtered)]
    text = table(through, SeedOptions())
    assert "added by the filter `strict`" in text
    assert "+0.42%, TTFT +26 ms" in text
    assert "10-15%" in text
    assert "added by the filter" not in table(RESULTS, SeedOptions())
    assert document(through, SeedOptions())["ways"]["sse"]["filtered"]["total"] == 0.0042


def coding(size: float | None, failed: int = 0) -> Coding:
    return Coding(bytes_per_token=size, cpu_per_token=2e-5, painted=0.6, failed=failed)


def test_what_phones_got_stands_with_gzip_and_without() -> None:
    mobile = Mobile(phones=4, shaped="400 kbit/s, 150 ms", plain=coding(306.4), gzip=coding(89.2))
    some = [*RESULTS[:-1], replace(RESULTS[-1], mobile=mobile)]
    text = table(some, SeedOptions())
    rows = {cells[1].strip(): cells[2:5] for line in text.splitlines() if len(cells := line.split("|")) > 4}
    assert "mobile, 4 phones: with gzip (without)" in rows
    assert [cell.strip() for cell in rows["bytes a token"]] == ["-", "-", "89 (306)"]
    assert rows["gateway's CPU us a token"][2].strip() == "20 (20)"
    assert rows["first visible text ms"][2].strip() == "600 (600)"
    assert "slows down: 400 kbit/s, 150 ms." in " ".join(text.split())
    broken = replace(mobile, gzip=coding(None, failed=2))
    text = table([*RESULTS[:-1], replace(RESULTS[-1], mobile=broken)], SeedOptions())
    assert "- (306)" in text
    assert "|   failed " in text


def test_phones_without_a_link_are_not_measured_and_it_says_why() -> None:
    text = table([replace(one, no_link="It takes Linux, and root.") for one in RESULTS], SeedOptions())
    assert "| mobile " in text
    assert "not measured" in text
    assert "Not measured, because there is no link to slow down. It takes Linux, and root." in " ".join(text.split())
