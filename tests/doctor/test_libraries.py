"""A library that runs models: absent, broken, there. None of it ends the doctor."""

from __future__ import annotations

from pathlib import Path

from twinserve_doctor.gpu import gpu
from twinserve_doctor.libraries import LIBRARIES, Library, examine_library


def test_one_that_is_not_installed_is_a_note_with_its_extra() -> None:
    found = examine_library(Library("no_such_library", "onnx", ""))
    assert (found.level, found.facts) == ("note", {"version": None})
    assert "pip install 'twinserve[onnx]'" in found.advice


def test_one_that_does_not_load_is_a_fault_in_one_line() -> None:
    found = examine_library(Library("json", "onnx", "raise ImportError('libx.so: cannot open shared object file')"))
    assert found.level == "fault"
    assert found.found == "installed, but does not load: ImportError: libx.so: cannot open shared object file"
    assert "reinstall it" in found.advice


def test_one_built_for_another_processor_is_a_fault_that_names_the_signal() -> None:
    found = examine_library(Library("json", "onnx", "import os, signal; os.kill(os.getpid(), signal.SIGILL)"))
    assert (found.level, found.found) == ("fault", "installed, but does not load: ended by signal 4")


def test_onnx_runtime_is_loaded_and_told() -> None:
    found = examine_library(LIBRARIES[1])
    assert found.level == "ok"
    assert "CPUExecutionProvider" in found.facts["providers"]


def test_a_gpu_that_torch_cannot_use_is_a_note_and_none_is_no_fault(tmp_path: Path) -> None:
    assert gpu({}, tmp_path).level == "ok"
    card = tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0"
    card.mkdir(parents=True)
    (card / "information").write_text("Model: \t\t NVIDIA H100\nIRQ: 18\n")
    found = gpu({"cuda": []}, tmp_path)
    assert (found.level, found.facts["cards"]) == ("note", ["NVIDIA H100"])
    assert gpu({"cuda": ["NVIDIA H100"]}, tmp_path).level == "ok"
