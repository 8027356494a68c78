"""bench/visible.py: white space is not to be seen."""

from __future__ import annotations

from tidegate.bench.visible import PlainText, Screen


def test_the_first_thing_that_is_not_white_space_is_seen_when_it_comes() -> None:
    screen: Screen = PlainText()
    for now, text in enumerate(("", "\n", "  ")):
        screen.show(text, float(now))
        assert screen.visible_at is None
    screen.show("#", 3.0)
    screen.show("tide", 4.0)
    screen.close()
    assert screen.visible_at == 3.0
