"""A verdict as JUnit XML, which every CI system shows: one test case for the verdict and one for each gate."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from twinserve_loadtest.record.measurement import Record


def junit(record: Record) -> str:
    """The XML of a comparison. A gate that failed is a failure, one that is undecided an error: neither is green."""
    compared = record.comparison
    assert compared is not None
    verdict = compared.verdict
    suite = _suite(f"twinserve compare {compared.baseline} {compared.candidate}", record.created)
    _case(suite, "verdict", {"SHIP": "pass", "DO NOT SHIP": "fail"}.get(verdict.outcome, "undecided"), verdict.summary)
    for gate in verdict.gates:
        # Without its limit, which may depend on the baseline: CI would see another test in every run.
        _case(suite, gate.name, gate.outcome, f"{gate.observed} for {gate.limit}: {gate.reason}")
    return _text(suite)


def junit_without_verdict(baseline: str, candidate: str, why: str) -> str:
    """The XML of a comparison that could not be made."""
    suite = _suite(f"twinserve compare {baseline} {candidate}", "")
    _case(suite, "verdict", "undecided", why)
    return _text(suite)


def _suite(name: str, created: str) -> ET.Element:
    suite = ET.Element("testsuite", {"name": name, "tests": "0", "failures": "0", "errors": "0"})
    if created:
        suite.set("timestamp", created.partition("+")[0])
    return suite


def _case(suite: ET.Element, name: str, outcome: str, text: str) -> None:
    case = ET.SubElement(suite, "testcase", {"classname": "twinserve.compare", "name": name})
    suite.set("tests", str(int(suite.get("tests", "0")) + 1))
    if outcome == "pass":
        ET.SubElement(case, "system-out").text = text
        return
    tag, count = ("failure", "failures") if outcome == "fail" else ("error", "errors")
    ET.SubElement(case, tag, {"type": outcome, "message": text}).text = text
    suite.set(count, str(int(suite.get(count, "0")) + 1))


def _text(suite: ET.Element) -> str:
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    encoded: bytes = ET.tostring(root, "utf-8", xml_declaration=True)
    return encoded.decode() + "\n"
