"""errors.py: the tree is the one that its docstring draws, and what it says in public is in OpenAI's shape."""

from __future__ import annotations

import re

import pytest

from tidegate import errors
from tidegate.errors import TidegateError


def everything(kind: type[TidegateError] = TidegateError) -> list[type[TidegateError]]:
    return [kind, *(each for sub in kind.__subclasses__() for each in everything(sub))]


def drawn() -> list[tuple[int, str, str]]:
    """Depth, name and what stands behind it, of each line of the tree."""
    tree = (errors.__doc__ or "").partition("::\n\n")[2].partition("\n\n``status``")[0]
    return [
        (len(match[1]) // 4, match[2], match[3])
        for match in re.finditer(r"^    ([│├└─ ]*)(\w+)(.*)$", tree, re.MULTILINE)
    ]


def test_the_docstring_draws_the_tree_that_there_is() -> None:
    parents: list[str] = []
    found = {}
    for depth, name, _ in drawn():
        found[name] = parents[depth - 1] if depth else "Exception"
        parents[depth:] = [name]
    assert found == {kind.__name__: kind.__base__.__name__ for kind in everything() if kind.__base__}


@pytest.mark.parametrize(
    ("name", "says"), [(name, says) for _, name, says in drawn() if re.search(r"\b[45]\d\d\b", says)]
)
def test_the_statuses_in_it_are_right(name: str, says: str) -> None:
    status = re.search(r"\b[45]\d\d\b", says)
    assert status is not None
    assert getattr(errors, name)("x").status == int(status[0])


def test_every_class_is_exported() -> None:
    assert set(errors.__all__) == {kind.__name__ for kind in everything()}


@pytest.mark.parametrize("kind", everything())
def test_each_has_a_fault_a_status_and_a_code(kind: type[TidegateError]) -> None:
    error = kind("What was wrong.")
    assert error.fault in ("client", "gateway", "upstream")
    assert 400 <= error.status < 600
    assert str(error) == "What was wrong."
    assert error.public() == {
        "error": {"message": "What was wrong.", "type": error.type, "code": error.code, "param": None}
    }
    assert error.public("id")["error"]["stream_id"] == "id"


def test_an_instance_may_narrow_its_kind() -> None:
    error = errors.UpstreamRefused("m", code="c", param="p", status=429, retry_after=2.0, retryable=True)
    assert (error.code, error.param, error.status, error.retry_after, error.retryable) == ("c", "p", 429, 2.0, True)
    assert errors.UpstreamRefused("m").status == 400
    assert not errors.UpstreamRefused("m").retryable
