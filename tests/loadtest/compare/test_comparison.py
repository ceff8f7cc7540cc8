"""The result file: whole, readable, honest about what is missing; and its re-use refused where it does not hold."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from io import StringIO

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from rich.console import Console

from twinserve_bench.simulation import Noise, SimulatedMachine, SimulatedVariant
from twinserve_loadtest.compare.accuracy import TestImages
from twinserve_loadtest.compare.assemble import Surroundings, assemble
from twinserve_loadtest.compare.experiment import Experiment
from twinserve_loadtest.compare.gates import default_gates
from twinserve_loadtest.compare.measurements import ExperimentSettings, Measurements
from twinserve_loadtest.compare.reuse import VerdictRefusedError, reuse
from twinserve_loadtest.record.comparison import Comparison
from twinserve_loadtest.record.files import parse_record
from twinserve_loadtest.record.measurement import Dataset, Memory, Model, Record, Variant
from twinserve_loadtest.record.stamp import Stamp, isa_of
from twinserve_loadtest.record.wire import decode_classes, to_plain
from twinserve_loadtest.report import document_of
from twinserve_loadtest.report.terminal import print_document

IMAGES = 2000
LABELS = np.random.default_rng(0).integers(0, 10, IMAGES)
STAMP = Stamp(
    cpu_model="simulated",
    isa="x86_64+avx512_vnni+avx2",
    isa_flags=["avx2", "avx512_vnni"],
    cores_by_affinity=2,
    cores_by_cgroup=None,
    memory_bytes=None,
    kernel="none",
    steal_share=0.05,
    load_average=None,
    python="CPython",
    packages={},
    artefacts={"fp32": "a" * 64, "int8": "b" * 64},
)


MEMORY = {
    "fp32": Memory(added_by_stage={"load": 8e6}, resident_pss=200e6),
    "int8": Memory(added_by_stage={"load": 2e6}, resident_pss=190e6),
}
VARIANTS = {
    name: Variant(name, "", size, memory=MEMORY[name]) for name, size in (("fp32", 4_000_000), ("int8", 1_000_000))
}


def measured(dies_at: float | None = None, precision: float = 0.05) -> Measurements:
    variants = {
        "fp32": SimulatedVariant(wrong=frozenset(range(20))),
        "int8": SimulatedVariant(slowdown=0.5, wrong=frozenset(range(5, 25))),
    }
    noise = Noise(seconds_between_bursts=1e9, drift_sd=0.01)
    machine = SimulatedMachine(variants, LABELS, seed=1, noise=noise, dies_at=dies_at)
    settings = ExperimentSettings("fp32", "int8", IMAGES, seconds=90.0, precision=precision)
    return Experiment(machine, settings, clock=machine.now).run()


def surroundings(**changes: object) -> Surroundings:
    pixels = np.random.default_rng(1).integers(0, 256, (IMAGES, 4, 4), dtype=np.uint8)
    about = Surroundings(
        created="2026-01-01T00:00:00+00:00",
        command="twinserve compare fp32 int8",
        stamp=STAMP,
        model=Model("mnist", "1", [4, 4], list("0123456789"), VARIANTS),
        dataset=Dataset("MNIST", "a test", IMAGES, full=True),
        test=TestImages(pixels, LABELS, tuple("0123456789")),
        gates=default_gates(),
    )
    return replace(about, **changes)  # type: ignore[arg-type]


@cache
def record() -> Record:
    return assemble(measured(), surroundings())


def comparison(found: Record | None = None) -> Comparison:
    compared = (found or record()).comparison
    assert compared is not None
    return compared


def read_back(found: Record) -> Record:
    return parse_record(json.loads(json.dumps(to_plain(found))), "compare.json")


def test_it_is_read_back_as_it_was_written() -> None:
    assert to_plain(read_back(record())) == to_plain(record())


def test_accuracy_is_the_planted_one() -> None:
    found = comparison().accuracy
    assert found is not None
    assert (found.only_baseline_correct, found.only_candidate_correct, found.both_wrong) == (5, 5, 15)
    assert found.difference.estimate == 0
    assert found.disagreement_count == 10
    assert {item.index for item in found.disagreements} == {0, 1, 2, 3, 4, 20, 21, 22, 23, 24}
    answers = {name: arm.answers for name, arm in record().runs["accuracy"].arms.items()}
    assert answers["fp32"] is not None
    assert answers["int8"] is not None
    assert decode_classes(answers["int8"].predictions)[30:].tolist() == LABELS[30:].tolist()
    assert sum(map(sum, answers["fp32"].confusion)) == IMAGES
    assert (answers["int8"].correct, answers["int8"].images, answers["int8"].coverage) == (IMAGES - 20, IMAGES, 1.0)


def test_histograms_are_readable_by_any_hdr_library_and_agree_with_the_percentiles() -> None:
    arm = record().runs["open"].arms["int8"]
    histogram = HdrHistogram.decode(to_plain(arm)["latency"]["histogram"])
    assert histogram.get_total_count() == arm.requests - arm.failed
    assert histogram.get_value_at_percentile(50) == arm.latency.at("p50")
    assert arm.latency.at("p99.9") is None or arm.requests >= 6636


def test_the_costs_of_both_arms_are_set_side_by_side() -> None:
    costs = {effect.metric: effect.interval.estimate for effect in comparison().costs if effect.interval}
    assert costs == {"artefact_bytes": 0.25, "added_bytes": 0.25, "process_pss_bytes": 0.95}
    assert {
        name for name, run in record().runs.items() if run.arms["fp32"].cpu_seconds_per_1000_images is not None
    } >= {"single-stream", "open", "offline"}


def test_the_amdahl_bound_follows_from_the_stage_split() -> None:
    split, bound = record().runs["single-stream"].arms["fp32"].stages, comparison().amdahl
    assert bound is not None
    assert split is not None
    assert bound.share == pytest.approx(split.seconds["inference"] / split.total_seconds)
    assert bound.bound == pytest.approx(1 / (1 - bound.share))
    assert sum(split.seconds.values()) == pytest.approx(split.total_seconds)
    assert "can make it at most" in bound.limit


def test_every_caveat_that_applies_is_said() -> None:
    codes = {remark.code for remark in record().caveats}
    assert {"isa", "same_machine", "steal"} <= codes
    assert "subset" not in codes
    found = measured()
    subset = assemble(
        replace_settings(found, quick=True), surroundings(dataset=Dataset("MNIST", "a test", 500, full=False))
    )
    assert {"quick", "subset", "small_test_set"} <= {remark.code for remark in subset.caveats}
    assert not comparison(subset).verdict.decision_grade


def replace_settings(found: Measurements, **changes: object) -> Measurements:
    found.settings = replace(found.settings, **changes)  # type: ignore[arg-type]
    return found


def test_a_figure_that_the_generator_set_is_marked() -> None:
    found = assemble(measured(), surroundings(invalid={"open": ["fp32: the generator used 97% of its one core"]}))
    assert found.runs["open"].invalid
    assert "invalid" in {remark.code for remark in found.caveats}
    gates = comparison(found).verdict.gates
    assert {gate.outcome for gate in gates if gate.name == "min_speedup.p50"} == {"undecided"}
    assert {effect.scenario for effect in found.effects() if not found.is_valid(effect)} == {"open"}
    printed = StringIO()
    print_document(document_of(found, "compare.json"), Console(file=printed, width=200), full=True)
    marked = [line for line in printed.getvalue().splitlines() if line.rstrip().endswith("not valid")]
    assert marked
    assert all(line.lstrip().startswith("Open loop") for line in marked)


def test_a_server_killed_half_way_gives_a_result_that_says_what_is_missing() -> None:
    found = assemble(measured(dies_at=80.0, precision=1e-6), surroundings())
    assert [remark.code for remark in found.missing] == ["ended_early"]
    assert "gone" in found.missing[0].text
    assert not found.complete
    assert found.runs["single-stream"].stopped == "interrupted"
    assert found.runs["single-stream"].arms["int8"].requests > 0
    assert not comparison(found).verdict.decision_grade
    assert to_plain(read_back(found)) == to_plain(found)


def test_a_server_that_was_never_there_gives_a_result_too() -> None:
    found = assemble(measured(dies_at=0.0), surroundings())
    assert comparison(found).verdict.outcome == "NOT ENOUGH EVIDENCE"
    assert comparison(found).accuracy is None
    assert "accuracy" in {remark.code for remark in found.missing}
    assert to_plain(read_back(found)) == to_plain(found)


def test_a_verdict_is_given_again_on_the_same_instruction_set_and_artefacts() -> None:
    assert reuse(record(), STAMP.isa, STAMP.artefacts) == comparison().verdict
    assert reuse(record(), STAMP.isa, {}) == comparison().verdict


@pytest.mark.parametrize(
    ("isa", "artefacts", "words"),
    [
        ("x86_64+avx2", {}, ["x86_64+avx512_vnni+avx2", "x86_64+avx2", "twinserve compare fp32 int8"]),
        ("aarch64+asimd", {}, ["aarch64"]),
        (STAMP.isa, {"int8": "c" * 64}, ["int8", "cccccccccccc"]),
    ],
)
def test_it_is_refused_elsewhere(isa: str, artefacts: dict[str, str], words: list[str]) -> None:
    with pytest.raises(VerdictRefusedError) as raised:
        reuse(record(), isa, artefacts)
    for word in words:
        assert word in str(raised.value)


def test_the_instruction_set_is_named_by_what_chooses_the_kernels() -> None:
    assert isa_of("x86_64", ["avx2", "fma", "avx512f", "avx512_vnni"]) == "x86_64+avx512_vnni+avx512f+avx2"
    assert isa_of("x86_64", ["avx2", "fma"]) == isa_of("x86_64", ["avx2"])
    assert isa_of("aarch64", ["asimd", "asimddp", "i8mm"]) == "aarch64+i8mm+asimddp+asimd"
