"""The verdict as JUnit XML: a pipeline shows green for what passed, and for nothing else."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from loadtest.report.sample_comparison import sample_comparison
from twinserve_loadtest.record.comparison import Comparison, GateOutcome, VerdictOutcome
from twinserve_loadtest.record.measurement import Record
from twinserve_loadtest.report.junit import junit, junit_without_verdict


def judged(outcome: VerdictOutcome, gate: GateOutcome) -> Record:
    """The sample comparison with another outcome, its first gate too."""
    record = sample_comparison()
    found = record.comparison
    assert isinstance(found, Comparison)
    first, *others = found.verdict.gates
    gates = [replace(first, outcome=gate, reason='the loss is <= "0.9" & more'), *others]
    return replace(record, comparison=replace(found, verdict=replace(found.verdict, outcome=outcome, gates=gates)))


@pytest.mark.parametrize(
    ("outcome", "gate", "counts"),
    [
        ("SHIP", "pass", ("5", "0", "0")),
        ("DO NOT SHIP", "fail", ("5", "2", "0")),
        ("NOT ENOUGH EVIDENCE", "undecided", ("5", "0", "2")),
    ],
)
def test_the_verdict_and_every_gate_is_a_case(
    outcome: VerdictOutcome, gate: GateOutcome, counts: tuple[str, str, str]
) -> None:
    (suite,) = ET.fromstring(junit(judged(outcome, gate)))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == counts
    names = [case.get("name") for case in suite]
    assert names[:2] == ["verdict", "max_accuracy_loss"]
    assert [len(suite.findall(f"testcase/{tag}")) for tag in ("failure", "error")] == [int(n) for n in counts[1:]]
    assert '<= 0.5 pp: the loss is <= "0.9" & more' in "".join(suite[1].itertext())


def test_no_verdict_is_an_error() -> None:
    (suite,) = ET.fromstring(junit_without_verdict("fp32", "int8", "no server"))
    assert (suite.get("tests"), suite.get("errors")) == ("1", "1")
    assert suite[0][0].get("message") == "no server"
