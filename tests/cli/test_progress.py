"""cli/progress.py: one line that is rewritten on a terminal, and few lines elsewhere."""

from __future__ import annotations

import io

from tidegate.cli.progress import ProgressLine, ms


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line_that_goes_away() -> None:
    file = Terminal()
    line = ProgressLine(file=file)
    line.tell("a" * 500, now=True)
    line.tell("not yet")
    line.close()
    line.close()
    assert file.getvalue().startswith("\r\x1b[K" + "a" * 10)
    assert file.getvalue().endswith("a\r\x1b[K")
    assert len(file.getvalue()) < 500, "it must not wrap"
    assert "not yet" not in file.getvalue()


def test_a_file_has_whole_lines() -> None:
    file = io.StringIO()
    line = ProgressLine(file=file)
    line.tell("one", now=True)
    line.tell("two")
    line.close()
    assert file.getvalue() == "one\n"


def test_quiet_is_quiet() -> None:
    file = io.StringIO()
    line = ProgressLine(quiet=True, file=file)
    line.tell("one", now=True)
    assert (file.getvalue(), line.due) == ("", False)


def test_milliseconds_for_people() -> None:
    assert (ms(None), ms(1.2345)) == ("–", "1,234 ms")
