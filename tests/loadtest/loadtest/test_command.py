"""``twinserve loadtest`` as a user runs it, against a real server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from support.processes import process_tree
from support.server_process import ServerProcess, wait_until
from support.tiny_model import classes_of
from twinserve_loadtest.commands.loadtest import app
from twinserve_loadtest.record.files import read_record
from twinserve_loadtest.record.measurement import Record
from twinserve_loadtest.record.testset import load_test_set
from twinserve_loadtest.record.wire import decode_classes

CODE = "import sys; sys.argv[0] = 'twinserve loadtest'; from twinserve_loadtest.commands.loadtest import app; app()"


def start(target: str, models: Path, output: Path, *flags: str) -> subprocess.Popen[str]:
    """The command as a process of its own."""
    arguments = ["--target", target, "--models", str(models), "--output", str(output), *flags]
    return subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "220"},
    )


def run(target: str, models: Path, output: Path, *flags: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error of the command in this process, which has loaded what it needs."""
    arguments = ["--target", target, "--models", str(models), "--output", str(output), *flags]
    ended = CliRunner().invoke(app, arguments, env={"COLUMNS": "220"})
    assert isinstance(ended.exception, SystemExit | None), repr(ended.exception)
    return ended.exit_code, ended.stdout, ended.stderr


@pytest.fixture(scope="module")
def standard(
    shared_server: ServerProcess, tiny_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Record, str]:
    """The standard test, shortened, and what it printed."""
    output = tmp_path_factory.mktemp("out") / "results.json"
    metrics = f"http://127.0.0.1:{shared_server.metrics_port}"
    flags = ("--metrics-url", metrics, "--duration", "1", "--rate", "50")
    process = start(shared_server.target, tiny_models, output, *flags)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    return read_record(output), out


def test_every_image_goes_once_to_every_variant(standard: tuple[Record, str], tiny_models: Path) -> None:
    results, _ = standard
    truth = classes_of(load_test_set(tiny_models / "tiny").images)
    for variant in ("fp32", "int8"):
        answers = results.runs["accuracy"].arms[variant].answers
        assert answers is not None
        assert (answers.correct, answers.images, answers.coverage) == (64, 64, 1.0)
        assert np.array_equal(decode_classes(answers.predictions), truth)


def test_every_question_of_the_standard_test_is_answered(standard: tuple[Record, str]) -> None:
    results, _ = standard
    assert list(results.runs) == ["accuracy", "single-stream", "open", "offline", "closed"]
    for run in results.runs.values():
        for arm in run.arms.values():
            assert arm.requests > 0
            assert arm.failed == 0
            assert arm.stages is not None
            assert arm.latency.count == arm.requests
    assert results.complete
    assert results.missing == []


def test_the_model_is_described_with_its_size_and_memory(standard: tuple[Record, str], tiny_models: Path) -> None:
    results, _ = standard
    for name, variant in results.model.variants.items():
        assert variant.artefact_bytes == (tiny_models / "tiny" / "1" / f"{name}.onnx").stat().st_size
        assert variant.memory is not None
        assert variant.memory.resident_pss is not None
        assert variant.memory.resident_pss > 10e6
    assert results.processes == {"gateway": 1, "fp32": 1, "int8": 1}
    for run in results.runs.values():
        for arm in run.arms.values():
            assert arm.cpu_seconds_per_1000_images
            assert arm.gateway_cpu_seconds_per_1000_images
            assert arm.joules_per_1000_images != 0  # a figure, or not known
    assert results.stamp.energy.startswith(("RAPL: ", "power rails: ", "unknown: "))
    assert results.stamp.artefacts == {name: v.sha256 for name, v in results.model.variants.items()}
    assert "--rate 50" in results.command


def test_a_small_set_and_a_shared_machine_are_caveats(standard: tuple[Record, str]) -> None:
    results, out = standard
    assert {"subset", "same_machine"} <= {remark.code for remark in results.caveats}
    assert "SMALL DATA SET, not the full test set" in out


def test_it_ends_with_a_table_and_a_sentence(standard: tuple[Record, str]) -> None:
    _, out = standard
    assert "Percentiles, in milliseconds" in out
    assert "int8 is " in out
    assert out.rstrip().endswith("results.json")


def test_a_step_test_states_the_rate_sustained(shared_server: ServerProcess, tiny_models: Path, tmp_path: Path) -> None:
    output = tmp_path / "step.json"
    # So wide a limit holds at every rate that the generator can keep: the search ends where that does.
    flags = ("--mode", "step", "--variants", "int8", "--rate", "300", "--p99-limit-ms", "2000", "--duration", "0.2")
    code, out, err = run(shared_server.target, tiny_models, output, *flags)
    assert code == 0, err
    rates = read_record(output).rates
    assert rates is not None
    assert rates.points[0].offered_rate == 300
    assert rates.sustained == {"int8": max(point.offered_rate for point in rates.points if point.sustained)}
    assert all(point.sustained is not bool(point.reason) for point in rates.points)
    assert "Highest rate with p99 within 2000 ms" in out


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--variants", "int4"), "variant 'int4' is not served"),
        (("--model", "other"), "NOT_FOUND"),
        (("--mode", "fast"), "mode is 'fast'; the modes are standard, accuracy"),
        (("--rate", "0"), "rate is 0.0: it must lie in"),
        (("--data", "nowhere.npz"), "no test set at nowhere.npz; `twinserve models build` writes one"),
        (("--batch", "2000"), "--batch is 2000; the server takes at most 1024 images per request"),
        (("--output", "/proc/x.json"), "/proc/x.json: cannot be written (No such file or directory); name another"),
    ],
)
def test_what_cannot_begin_is_said_with_exit_code_2(
    shared_server: ServerProcess, tiny_models: Path, tmp_path: Path, flags: tuple[str, ...], text: str
) -> None:
    code, _, err = run(shared_server.target, tiny_models, tmp_path / "none.json", *flags)
    assert code == 2
    assert text in err
    assert "Traceback" not in err
    assert not (tmp_path / "none.json").exists()


def test_results_that_cannot_be_written_in_the_end_are_kept_elsewhere(
    shared_server: ServerProcess, tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    # It can be opened, and takes nothing: a disk that is full by the time the measuring is done.
    code, _, err = run(shared_server.target, tiny_models, Path("/dev/full"), "--mode", "accuracy")
    assert code == 3
    (kept,) = tmp_path.glob("full-*")
    problem = "/dev/full: cannot be written (No space left on device); make room, or name another place"
    assert f"{problem}; the raw results are in {kept}" in err
    assert read_record(kept).complete
    assert "Traceback" not in err


@pytest.mark.parametrize("port", ["grpc", "none"])
def test_metrics_that_cannot_be_read_are_a_caveat(
    shared_server: ServerProcess, tiny_models: Path, tmp_path: Path, port: str
) -> None:
    address = f"http://127.0.0.1:{shared_server.grpc_port if port == 'grpc' else 1}"
    output = tmp_path / "results.json"
    flags = ("--mode", "accuracy", "--metrics-url", address)
    code, out, err = run(shared_server.target, tiny_models, output, *flags)
    assert code == 0, err
    (caveat,) = (remark.text for remark in read_record(output).caveats if remark.code == "metrics")
    assert address in caveat
    for told in (err, out):  # the first before minutes of measuring
        assert "o memory or CPU time by variant" in " ".join(told.split())
    assert "Traceback" not in err


def test_a_server_killed_half_way_leaves_results_that_say_what_is_missing(
    serve: Callable[..., ServerProcess], tiny_models: Path, tmp_path: Path
) -> None:
    victim = serve(tiny_models)
    output = tmp_path / "results.json"
    tree = process_tree(victim)
    process = start(victim.target, tiny_models, output, "--duration", "2", "--rate", "50")
    wait_until(lambda: victim.metric("twinserve_requests_total", code="OK") > 100, 60)
    for member in tree:
        member.kill()
    out, err = process.communicate(timeout=90)
    results = read_record(output)
    assert process.returncode == 1
    assert not results.complete
    assert results.missing[0].text.startswith("The test ended early: no request ")
    assert {"ended_early", "lost", "not_run"} <= {remark.code for remark in results.missing}
    assert "INCOMPLETE" in out
    assert "Traceback" not in out + err


def test_ctrl_c_keeps_what_there_is_and_leaves_nothing_running(
    shared_server: ServerProcess, tiny_models: Path, tmp_path: Path
) -> None:
    output = tmp_path / "results.json"
    before = shared_server.metric("twinserve_requests_total", code="OK")
    process = start(shared_server.target, tiny_models, output, "--mode", "closed", "--duration", "60")
    wait_until(lambda: shared_server.metric("twinserve_requests_total", code="OK") > before + 200, 60)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert read_record(output).interrupted()
    wait_until(lambda: not any(child.is_running() for child in children), 10)
