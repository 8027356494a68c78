"""PURE. The results as a table, as Markdown, as JUnit XML and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from xml.etree import ElementTree

from tidegate.torture.suite import Result

__all__ = ["as_json", "as_junit", "as_markdown", "line", "summary"]


def line(result: Result) -> str:
    """One case, for a terminal."""
    mark = "ok  " if result.honest else "LIE "
    text = f"{mark} {result.case.name:<24} {result.did}"
    return text if result.honest else f"{text}\n     {'':<24} expected: {result.case.wanted}"


def summary(results: Sequence[Result]) -> str:
    """How many, and which not."""
    honest = sum(result.honest for result in results)
    slow = [result.case.name for result in results if result.recovery > 2.0]
    text = f"{honest} of {len(results)} cases ended honestly"
    if slow:
        text += f"; it answered nothing good for more than 2 s before: {', '.join(slow)}"
    return text


def as_markdown(results: Sequence[Result]) -> str:
    """A table; the cases that were not honest in bold."""
    rows = ["| case | the model server | an honest gateway | this one |", "|---|---|---|---|"]
    for result in results:
        did = result.did if result.honest else f"**{result.did}**"
        rows.append(f"| `{result.case.name}` | {result.case.does} | {result.case.wanted} | {did} |")
    return "\n".join(rows) + "\n"


def as_junit(results: Sequence[Result], name: str) -> str:
    """One test case per case, grouped by class name."""
    failed = [result for result in results if not result.honest]
    attributes = {"name": name, "tests": str(len(results)), "failures": str(len(failed)), "errors": "0"}
    suite = ElementTree.Element("testsuite", attributes | {"time": f"{sum(one.seconds for one in results):.3f}"})
    for result in results:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            {
                "classname": f"torture.{result.case.group}",
                "name": result.case.name,
                "time": f"{result.seconds:.3f}",
            },
        )
        if not result.honest:
            message = f"{result.did}; expected: {result.case.wanted}"
            failure = ElementTree.SubElement(case, "failure", {"type": result.outcome.name, "message": message})
            failure.text = f"The model server: {result.case.does}"
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def as_json(results: Sequence[Result], name: str) -> str:
    """Everything, for a program."""
    cases = [
        {
            "case": result.case.name,
            "group": result.case.group,
            "does": result.case.does,
            "wanted": result.case.wanted,
            "outcome": result.outcome.name.lower(),
            "detail": result.detail,
            "honest": result.honest,
            "seconds": round(result.seconds, 3),
            "recovery": round(result.recovery, 3),
        }
        for result in results
    ]
    honest = sum(result.honest for result in results)
    return json.dumps({"gateway": name, "honest": honest, "cases": len(results), "results": cases}, indent=1) + "\n"
