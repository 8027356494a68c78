"""What is above the region stays; what is in it changes. Seen on an emulated terminal."""

from __future__ import annotations

import pyte

from tidegate.terminal.region import Region


class Screen:
    def __init__(self, width: int = 20, height: int = 6) -> None:
        self.screen = pyte.HistoryScreen(width, height, history=1000, ratio=0.5)
        self._stream = pyte.Stream(self.screen)

    def write(self, text: str) -> None:
        self._stream.feed(text)

    @property
    def lines(self) -> list[str]:
        """Everything, scrolled off or not, without empty lines at the end."""
        width = self.screen.columns
        above = ["".join(line[x].data for x in range(width)).rstrip() for line in self.screen.history.top]
        found = above + [line.rstrip() for line in self.screen.display]
        while found and not found[-1]:
            found.pop()
        return found


def test_settled_lines_stand_above_the_drawn_ones() -> None:
    screen, region = Screen(), Region(6)
    screen.write(region.draw(["a"]))
    screen.write(region.draw(["a b", "c"]))
    assert screen.lines == ["a b", "c"]
    screen.write(region.settle(["A B", "C"]))
    screen.write(region.draw(["d"]))
    assert screen.lines == ["A B", "C", "d"]
    screen.write(region.draw([]))
    assert screen.lines == ["A B", "C"]


def test_a_shorter_settling_leaves_nothing_behind() -> None:
    screen, region = Screen(), Region(6)
    screen.write(region.draw(["one", "two", "three"]))
    screen.write(region.settle(["only"]))
    assert screen.lines == ["only"]


def test_only_lines_that_differ_are_written() -> None:
    region = Region(10)
    region.draw(["same", "other"])
    again = region.draw(["same", "changed"])
    assert "same" not in again
    assert "changed" in again
    assert region.draw(["same", "changed"]) == ""
    assert Region(5).settle([]) == ""


def test_a_region_higher_than_the_screen_shows_its_tail_and_settles_whole() -> None:
    screen, region = Screen(height=6), Region(6)
    for count in range(1, 12):
        screen.write(region.draw([f"line {number}" for number in range(count)]))
    assert screen.lines == [f"line {number}" for number in range(6, 11)]
    screen.write(region.settle([f"line {number}" for number in range(11)]))
    assert screen.lines == [f"line {number}" for number in range(11)]


def test_after_a_resize_it_begins_anew() -> None:
    screen, region = Screen(), Region(6)
    screen.write(region.draw(["a"]))
    screen.write(region.resize(4))
    screen.write(region.draw(["b"]))
    assert screen.lines == ["a", "b"]
