"""``twinserve demo`` over a tiny pair that stands where MNIST's models would be."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pydantic_core import SchemaValidator, core_schema
from rich.console import Console

from support.processes import children_running
from support.server_process import wait_until
from support.tiny_model import make_tiny_models
from twinserve_loadtest.demo import Demo
from twinserve_loadtest.record.files import read_record
from twinserve_loadtest.record.measurement import Record

TWINSERVE = Path(sysconfig.get_path("scripts")) / "twinserve"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that need not be built, by a machine that was too slow for all of the training."""
    root = make_tiny_models(tmp_path_factory.mktemp("models"), model="mnist", runtime="onnx")
    path = root / "mnist" / "1" / "manifest.json"
    reduced = {"images": 4_000, "of_images": 60_000, "epochs": 2, "of_epochs": 3}
    training = {"epochs": 2, "seed": 0, "losses": [0.5, 0.25], "reduced": reduced}
    path.write_text(json.dumps({**json.loads(path.read_text()), "training": training}))
    return root


def start(models: Path, reports: Path, *flags: str) -> subprocess.Popen[str]:
    """The demo in a process group of its own, as a shell would start it."""
    return subprocess.Popen(
        [str(TWINSERVE), "demo", "--models", str(models), "--reports", str(reports), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
        env={**os.environ, "COLUMNS": "200"},
    )


def test_it_leaves_results_a_page_and_a_sentence_and_no_process(models: Path, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    process = start(models, reports, "--duration", "0.4")
    out, _ = process.communicate(timeout=150)
    assert process.returncode == 0, out
    results = read_record(reports / "loadtest.json")
    assert results.complete
    assert results.command.startswith("twinserve demo ")
    assert len(results.runs) == 5
    assert "int8 is " in out
    assert "64 images of tiny (NOT the full test set; made by a test)" in " ".join(out.split())
    for name in ("bench.json", "report.html", "server.log"):
        assert (reports / name).stat().st_size > 0, name
    assert "trained on 4,000 of 60,000 images for 2 of 3 epochs" in (reports / "report.html").read_text("utf-8")
    assert "Traceback" not in out


def test_reports_that_could_not_be_written_are_said_before_anything_is_done(models: Path) -> None:
    process = start(models, Path("/proc/reports"))
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "/proc/reports/bench.json: cannot be written (" in out
    assert "--reports" in out
    assert "1 of 5" not in out
    assert "Traceback" not in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_or_a_termination_under_load_leaves_nothing_running(
    models: Path, tmp_path: Path, number: signal.Signals
) -> None:
    reports = tmp_path / "reports"
    process = start(models, reports, "--duration", "60")
    demo = psutil.Process(process.pid)

    # However slow the machine: it trains nothing, but loads torch.
    wait_until(lambda: process.poll() is not None or children_running(demo, "twinserve_loadtest.generate.worker"), 240)
    everything = demo.children(recursive=True)
    assert len(everything) >= 4  # generator, supervisor, gateway, model processes
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    assert "nothing is left running" in out
    assert "Traceback" not in out
    wait_until(lambda: not any(child.is_running() for child in everything), 10)


@pytest.fixture
def handlers() -> Iterator[None]:
    """Puts back what handles signals here."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Signalled(type):
    """A type that a signal hits while something is asked whether it is an instance of it."""

    def __instancecheck__(cls, _: object) -> bool:
        signal.raise_signal(signal.SIGTERM)
        return False


class DuringABuild(Demo):
    """A demo that is terminated while pydantic builds a validator."""

    def _parts(self, console: Console) -> Record:
        SchemaValidator(core_schema.is_instance_schema(Signalled("Sought", (), {})))
        raise AssertionError("not reached")


@pytest.mark.usefixtures("handlers")
def test_a_signal_that_a_library_makes_an_error_of_its_own_interrupts_it_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert DuringABuild(tmp_path, tmp_path, None, None, 1).run() == 130
    assert "nothing is left running" in capsys.readouterr().out


def test_a_model_folder_that_cannot_be_served_ends_it_with_the_reason(models: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(models, tmp_path / "broken")
    (broken / "mnist" / "1" / "int8.onnx").write_bytes(b"no model")
    process = start(broken, tmp_path / "reports")
    out, _ = process.communicate(timeout=90)
    assert process.returncode == 1
    assert "int8" in out
    assert "Error: `twinserve models bench` failed with exit code 1" in out
    assert "Traceback" not in out
