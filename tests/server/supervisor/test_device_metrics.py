"""What is known of memory on a GPU has a series; what is not has none, and never 0."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from twinserve_host.gpu import Gpu
from twinserve_server.artefact.manifest import read_manifest
from twinserve_server.ipc.load_facts import LoadFacts, RuntimeFacts
from twinserve_server.metrics import families
from twinserve_server.supervisor.metrics import Sheet
from twinserve_server.supervisor.model_reports import ModelState
from twinserve_server.supervisor.plan import Replica

LABELS = ("tiny", "1", "fp32")
CARD = Gpu(0, "a card", "u", "1", 0.5, 30.0, 70.0, 1, 1, 1, 1, {7: 900})


def state(models: Path, device_bytes: dict[str, int], device: str = "cpu") -> ModelState:
    version = read_manifest(models / "tiny" / "1")
    variant = replace(version.variants["fp32"], device=device)
    version = replace(version, variants={**version.variants, "fp32": variant})
    runtime = RuntimeFacts("torchscript", "torch", "2", "none", device_bytes=device_bytes)
    return ModelState(Replica("tiny-fp32-0", version, "fp32", 0), LoadFacts(1.0, 1.0, 1, 1, 1, 1, runtime, "", False))


def series(sheet: Sheet) -> dict[str, float]:
    found = sheet.values.get(families.MODEL_DEVICE_BYTES.name, {})
    return {labels[-1]: values[0] for labels, values in found.items()}


def test_the_figures_of_the_warm_model_and_the_driver_s_count_of_now(tiny_models: Path) -> None:
    sheet = Sheet("fast")
    warm = state(tiny_models, {"context": 500, "weights": 5, "peak_reserved": 20, "process": 520})
    sheet.put_device_bytes(LABELS, warm, 7, [CARD])
    assert series(sheet) == {"context": 500, "weights": 5, "peak_reserved": 20, "process": 900}


def test_what_the_driver_does_not_tell_is_absent(tiny_models: Path) -> None:
    sheet = Sheet("fast")
    sheet.put_device_bytes(LABELS, state(tiny_models, {"weights": 5, "peak_reserved": 20}), 8, [CARD])
    assert series(sheet) == {"weights": 5, "peak_reserved": 20}


def test_a_server_on_the_cpu_has_no_series_of_gpus(tiny_models: Path) -> None:
    sheet = Sheet("fast")
    assert sheet.put_gpus([state(tiny_models, {})]) == []
    sheet.put_device_bytes(LABELS, state(tiny_models, {}), 7)
    assert not {family for family in sheet.values if "gpu" in family or "device" in family}
