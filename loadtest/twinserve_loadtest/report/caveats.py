"""What limits the use of a report: the alerts on top of the page, and every caveat below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.record.findings import Remark
from twinserve_loadtest.report.missing import cut_short
from twinserve_loadtest.report.scenarios import scenario_title

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twinserve_loadtest.report.inputs import Inputs

#: How a load test begins the sentence on other work on its machine.
_DISTURBED = "other work"


def alerts(inputs: Inputs) -> list[Remark]:
    """What must be read before anything else."""
    found = [
        *_incomplete(inputs),
        *_small(inputs),
        *_not_decision_grade(inputs),
        *_disturbed(inputs),
        *_mixed(inputs),
        *_invalid(inputs),
    ]
    return _unique(found)


def caveats(inputs: Inputs) -> list[Remark]:
    """Everything that limits a figure, in the words of the runs themselves where they said it."""
    found: list[Remark] = []
    for comparison in inputs.compared:
        found += comparison.missing
        found += comparison.caveats
    for results in inputs.results:
        found += [
            Remark("load-test", f"{text[:1].upper()}{text[1:]}.")
            for text in results.caveats
            if not text.startswith(_DISTURBED)
        ]
    return _unique([*alerts(inputs), *found, *_invalid_in_detail(inputs), *_instruction_sets(inputs), *_units()])


def _incomplete(inputs: Inputs) -> Iterator[Remark]:
    for source, results in inputs.load_tests:
        if not results.complete or results.missing:
            what = "; ".join(results.missing) or "the run ended early"
            yield Remark("incomplete", f"INCOMPLETE RUN ({source.name}): {what}.")
    for source, comparison in inputs.comparisons:
        if cut_short(comparison):
            what = " ".join(remark.text for remark in comparison.missing) or "accuracy was not measured."
            yield Remark("incomplete", f"INCOMPLETE COMPARISON ({source.name}): {what}")


def _small(inputs: Inputs) -> Iterator[Remark]:
    for dataset in inputs.datasets():
        if not dataset.full:
            yield Remark(
                "small-dataset",
                f"SMALL DATA SET: {dataset.images:,} images of {dataset.name} ({dataset.source}), not the full test "
                "set. No figure on this page may be compared with one for the full set.",
            )


def _not_decision_grade(inputs: Inputs) -> Iterator[Remark]:
    for source, comparison in inputs.comparisons:
        if not comparison.verdict.decision_grade:
            yield Remark(
                "not-decision-grade",
                f"NOT DECISION-GRADE ({source.name}): a quick run; repeat it without --quick before you decide.",
            )


def _disturbed(inputs: Inputs) -> Iterator[Remark]:
    """Other work on the machine while it was measured, in the words of the load test."""
    for source, results in inputs.load_tests:
        for text in results.caveats:
            if text.startswith(_DISTURBED):
                yield Remark("disturbed", f"DISTURBED ({source.name}): {text}.")


def _mixed(inputs: Inputs) -> Iterator[Remark]:
    """Files that are not about the same artefacts, images or machine."""
    hashes: dict[str, set[str]] = {}
    for name, sha256 in inputs.artefacts():
        hashes.setdefault(name, set()).add(sha256)
    sizes = {name: about.get("bytes") for name, about in inputs.manifests()}
    for _, bench in inputs.benches:
        for row in bench.rows:
            if sizes.get(row.variant, row.bytes) != row.bytes:
                hashes[row.variant] = {"", f"{row.bytes} bytes"}
    differing = sorted(name for name, found in hashes.items() if len(found) > 1)
    if differing:
        yield Remark(
            "mixed-artefacts",
            f"MIXED ARTEFACTS: the files measured different artefacts of {', '.join(differing)}. "
            "Figures of different files must not be held against each other.",
        )
    sets = {(dataset.name, dataset.images, dataset.full) for dataset in inputs.datasets()}
    if len(sets) > 1:
        names = "; ".join(f"{name}, {images:,} images" for name, images, _ in sorted(sets))
        yield Remark("mixed-datasets", f"MIXED TEST SETS: the files used different images ({names}).")
    machines = set(_machines(inputs))
    if len(machines) > 1:
        names = "; ".join(sorted(f"{cpu} ({isa})" for cpu, isa in machines))
        yield Remark("mixed-machines", f"MIXED MACHINES: the files were measured on different CPUs: {names}.")


def _invalid(inputs: Inputs) -> Iterator[Remark]:
    """One alert for all figures that do not stand, such as those that the load generator decided."""
    names = [scenario_title(run.name).lower() for c in inputs.compared for run in c.scenarios.values() if run.invalid]
    names += [
        f"{figure} of {name} ({scenario_title(scenario.name).lower()})"
        for results in inputs.results
        for scenario in results.scenarios
        for name, result in scenario.variants.items()
        for figure in result.generator.invalid
    ]
    if names:
        listed = "; ".join(dict.fromkeys(names))
        yield Remark("invalid", f"NOT VALID as figures of the server: {listed}. Why stands beside each, and below.")


def _invalid_in_detail(inputs: Inputs) -> Iterator[Remark]:
    for results in inputs.results:
        for scenario in results.scenarios:
            for name, result in scenario.variants.items():
                for figure, reasons in result.generator.invalid.items():
                    text = f"{scenario_title(scenario.name)}, {name}: {figure} is not valid: {'; '.join(reasons)}."
                    yield Remark("invalid", text)


def _instruction_sets(inputs: Inputs) -> Iterator[Remark]:
    for comparison in inputs.compared:
        yield from _made_elsewhere(comparison.stamp.isa, comparison.stamp.runtime.get("isa", ""))
    for results in inputs.results:
        runtime = results.stamp.get("runtime") or {}
        yield from _made_elsewhere(str(results.stamp.get("isa", "")), str(runtime.get("isa", "")))
    isa = next((isa for _, isa in _machines(inputs) if isa), "")
    if isa:
        yield Remark(
            "isa",
            f"Everything here holds for the instruction set it was measured on ({isa}). Without the same INT8 "
            "instructions the result may reverse: measure again there.",
        )


def _made_elsewhere(measured: str, made: str) -> Iterator[Remark]:
    if measured and made and measured != made:
        yield Remark(
            "other-isa",
            f"The artefacts were made on {made} and measured on {measured}: the quantised engine was chosen for the "
            "former. Build them again on this machine for its best figures.",
        )


def _units() -> Iterator[Remark]:
    yield Remark("units", "1 KB is 1,024 bytes and 1 MB is 1,024 KB throughout.")


def _machines(inputs: Inputs) -> Iterator[tuple[str, str]]:
    for comparison in inputs.compared:
        yield comparison.stamp.cpu_model, comparison.stamp.isa
    for results in inputs.results:
        yield str(results.stamp.get("cpu_model", "")), str(results.stamp.get("isa", ""))


def _unique(remarks: list[Remark]) -> list[Remark]:
    return list({remark.text: remark for remark in remarks}.values())
