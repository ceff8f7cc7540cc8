"""What limits a figure is found by rule and said in words, once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.records import make_arm, make_record
from twinserve_loadtest.record.caveats import caveats_of
from twinserve_loadtest.record.measurement import Dataset
from twinserve_loadtest.record.run import Run
from twinserve_loadtest.record.stamp import Stamp

FULL = Dataset("toy", "a test", 10_000, full=True)


def texts(**changes: object) -> list[str]:
    """The caveats of a record with ``changes``, whose single stream is beyond reproach."""
    plain = make_record({"single-stream": Run("single-stream", {"int8": make_arm()})}, dataset=FULL)
    return [remark.text for remark in caveats_of(replace(plain, **changes))]  # type: ignore[arg-type]


def test_a_quiet_machine_and_a_full_set_have_no_caveat() -> None:
    assert texts(foreign_cpu_share=0.05) == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"dataset": replace(FULL, full=False)}, "10,000 images of toy (a test), not the full test set"),
        ({"dataset": replace(FULL, images=10)}, "10 test images are too few"),
        ({"same_machine": True}, "shared one machine"),
        ({"foreign_cpu_share": 0.4}, "Other work kept 40% of the machine's cores busy"),
        ({"stamp": Stamp(steal_share=0.05)}, "The hypervisor took 5.0% of the CPU time"),
        ({"stamp": Stamp(engines={"a": "x86", "b": "qnnpack"})}, "different quantised engines (a: x86, b: qnnpack)"),
        ({"stamp": Stamp(isa="x86_64+avx2")}, "hold only for the instruction set they were measured on (x86_64+avx2)"),
    ],
)
def test_what_holds_for_the_whole_measurement_is_said_once(change: dict[str, object], text: str) -> None:
    (caveat,) = texts(**change)
    assert text in caveat


def test_artefacts_made_elsewhere_are_told_by_what_the_manifest_names() -> None:
    here = "x86_64+avx512_vnni+avx512f+avx2"
    assert not any("were built on" in text for text in texts(stamp=Stamp(isa=here, runtime={"isa": "AVX512"})))
    assert any("were built on AVX2" in t for t in texts(stamp=Stamp(isa="aarch64+asimd", runtime={"isa": "AVX2"})))


def test_a_figure_that_is_not_valid_is_named_with_its_reason() -> None:
    run = Run("offline", {"int8": make_arm(invalid={"throughput": ["the generator was busy"]})})
    assert texts(runs={"offline": run}) == ["Offline, int8: throughput is not valid: the generator was busy."]


def test_a_percentile_that_the_sample_does_not_carry_is_named() -> None:
    arm = make_arm()
    run = Run("open", {"int8": replace(arm, latency=replace(arm.latency, count=100))})
    (caveat,) = texts(runs={"open": run})
    assert caveat == (
        "Open loop, int8: not reported: p95 needs 130 samples and has 100, p99 needs 662 samples and has 100."
    )


def test_percentiles_of_a_closed_loop_come_with_a_warning() -> None:
    (caveat,) = texts(runs={"closed": Run("closed", {})})
    assert "saturated" in caveat
