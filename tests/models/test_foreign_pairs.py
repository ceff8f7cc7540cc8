"""Three pairs that have nothing to do with MNIST, driven by the command line alone: added, served, asked, load-tested,
compared, replaced while the server runs, and rolled back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import twinserve_loadtest
from support.foreign_models import CLASSES, IMAGE, image_graph, regression_graph, sequence_graph
from support.server_process import ServerProcess, wait_until
from support.short_comparison import shorten_comparisons
from twinserve_client.cli.root import app
from twinserve_loadtest.record.files import read_record
from twinserve_loadtest.target.metrics import read_metrics

ITEMS = 48
LOCUSTFILE = Path(twinserve_loadtest.__file__).parent / "locust_cli" / "locustfile.py"


@dataclass(frozen=True)
class World:
    """A server of the three pairs, and the folder with what their owner has."""

    server: ServerProcess
    folder: Path

    def call(self, *arguments: str, exit_codes: tuple[int, ...] = (0,)) -> str:
        """What a command prints."""
        return run(*arguments, "--target", self.server.target, exit_codes=exit_codes)

    def predict(self, model: str, *options: str) -> list[dict[str, Any]]:
        """The answers to the model's own test set."""
        told = self.call("predict", str(self.folder / f"{model}.npz"), "--model", model, "--json", *options)
        answers: list[dict[str, Any]] = json.loads(told)["answers"]
        return answers


def run(*arguments: str, exit_codes: tuple[int, ...] = (0,)) -> str:
    """Run ``twinserve ...``; what it prints on standard output."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code in exit_codes, result.output
    return result.stdout


def add(folder: Path, model: str, *options: str) -> str:
    """``twinserve models add``."""
    return run("models", "add", model, *options, "--models", str(folder / "models"))


def write_data(folder: Path) -> None:
    """The three test sets."""
    random = np.random.default_rng(0)
    near, far = random.random((ITEMS, 4), np.float32), random.random((ITEMS, 2), np.float32)
    noise = random.normal(0, 0.1, (ITEMS, 1))
    expected = near.sum(1, keepdims=True) + far.sum(1, keepdims=True) + noise
    np.savez(folder / "regression.npz", near=near, far=far, y=expected.astype(np.float32))
    labels = random.integers(0, CLASSES, ITEMS)
    images = np.zeros((ITEMS, *IMAGE), np.float32)
    images.reshape(ITEMS, -1)[np.arange(ITEMS), labels] = 1
    labels[0] = (labels[0] + 1) % CLASSES  # one that every variant has wrong
    np.savez(folder / "wide.npz", image=images, labels=labels)
    ids = random.integers(0, 99, (ITEMS, 12))
    np.savez(folder / "sequence.npz", ids=ids, states=2.0 * ids)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("foreign")
    for name, data in {
        "near": regression_graph(1.0),
        "close": regression_graph(1.01),
        "twice": regression_graph(2.0),
        "wide": image_graph(),
        "sequence": sequence_graph(),
    }.items():
        (folder / f"{name}.onnx").write_bytes(data)
    write_data(folder)
    file = {name: str(folder / f"{name}.onnx") for name in ("near", "close", "wide", "sequence")}
    regression = ("--input", "near:4:FP32", "--input", "far:2:FP32:-10..10", "--output", "y:1:FP32:tensor")
    add(folder, "regression", "--fp32", file["near"], "--int8", file["close"], *regression)
    image = ("--input", "image:3x32x32:FP32:0..1", "--output", "scores:logits")
    add(folder, "wide", "--fp32", file["wide"], "--int8", file["wide"], *image)
    ids = ("--input", "ids:?:INT64:0..99", "--output", "states:tensor", "--output", "total:tensor")
    add(folder, "sequence", "--fp32", file["sequence"], "--int8", file["sequence"], *ids, "--metric", "cosine")
    with ServerProcess(folder / "models", folder / "server", "--gateways", "1", "--profile", "isolated") as server:
        yield World(server, folder)


def test_each_is_asked_by_a_file_of_its_tensors(world: World) -> None:
    (regression,) = world.predict("regression", "--variant", "fp32")
    with np.load(world.folder / "regression.npz") as archive:
        sums = archive["near"].sum(1) + archive["far"].sum(1)
    np.testing.assert_allclose(np.ravel(regression["outputs"]["y"]), sums, rtol=1e-5)
    (sequence,) = world.predict("sequence")
    with np.load(world.folder / "sequence.npz") as archive:
        assert sequence["outputs"]["total"] == archive["ids"].sum(1).tolist()
    by_variant = world.predict("wide", "--compare")
    assert [answer["variant"] for answer in by_variant] == ["fp32", "int8"]
    with np.load(world.folder / "wide.npz") as archive:
        assert by_variant[0]["outputs"]["classes"][1:] == archive["labels"][1:].tolist()


def test_a_table_is_for_people_and_what_is_missing_is_named(world: World) -> None:
    (world.folder / "short.json").write_text(json.dumps({"ids": [[5, 17, 2]]}))
    assert "10 34 4" in world.call("predict", str(world.folder / "short.json"), "--model", "sequence")
    result = CliRunner().invoke(
        app,
        ["predict", str(world.folder / "short.json"), "--model", "regression", "--target", world.server.target],
    )
    assert (result.exit_code, "lacks near; regression takes near FP32 [4], far FP32 [2]" in result.output) == (2, True)


@pytest.mark.parametrize(("model", "correct"), [("wide", ITEMS - 1), ("sequence", None), ("regression", None)])
def test_each_is_load_tested_over_its_test_set(world: World, model: str, correct: int | None) -> None:
    output = world.folder / f"loadtest-{model}.json"
    options = ("--model", model, "--data", str(world.folder / f"{model}.npz"), "--mode", "accuracy", "--batch", "16")
    world.call("loadtest", *options, "--output", str(output))
    arms = read_record(output).runs["accuracy"].arms
    assert list(arms) == ["fp32", "int8"]
    for name, arm in arms.items():
        if correct is not None:
            assert arm.answers is not None
            assert (arm.answers.correct, arm.answers.images, arm.answers.confusion) == (correct, ITEMS, [])
            assert [count for *_, count in arm.answers.confused] == [1]
        else:
            assert arm.quality is not None
            assert (arm.quality.items, arm.quality.coverage) == (ITEMS, 1.0)
            assert arm.quality.loss.estimate < (0.05 if name == "int8" or model == "regression" else 1e-6)
    page = world.folder / f"{model}.html"
    run("report", str(output), "--output", str(page))
    assert ("Correct answers" if correct is not None else "Mean loss") in page.read_text("utf-8")


def test_a_regression_is_compared_by_its_metric_and_the_gate_is_its_own(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_comparisons(monkeypatch)
    output = world.folder / "compare.json"
    options = ("--model", "regression", "--data", str(world.folder / "regression.npz"), "--quick")
    gates = ("--max-quality-loss", "1000%", "--output", str(output))
    world.call("compare", "fp32", "int8", *options, *gates, exit_codes=(0, 1, 2))
    compared = read_record(output).comparison
    assert compared is not None
    assert compared.accuracy is None
    assert compared.quality is not None
    assert (compared.quality.metric, compared.quality.against, compared.quality.items) == ("mse", "", ITEMS)
    gate = next(gate for gate in compared.verdict.gates if gate.name == "max_quality_loss")
    assert (gate.outcome, "1000 % of the baseline's loss" in gate.limit) == ("pass", True)


@pytest.mark.parametrize(("model", "gate"), [("wide", "max_accuracy_loss"), ("sequence", "max_quality_loss")])
def test_a_thousand_classes_and_none_are_compared(
    world: World, model: str, gate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_comparisons(monkeypatch)
    output = world.folder / f"compare-{model}.json"
    options = ("--model", model, "--data", str(world.folder / f"{model}.npz"), "--quick", "--output", str(output))
    world.call("compare", "fp32", "int8", *options, exit_codes=(0, 1, 2))
    record = read_record(output)
    assert record.complete
    assert record.comparison is not None
    judged = {one.name: one for one in record.comparison.verdict.gates}
    assert judged[gate].outcome != "fail"
    if model == "wide":
        assert record.comparison.accuracy is not None
        assert record.comparison.accuracy.disagreement_count == 0
    else:
        assert record.comparison.quality is not None
        assert record.comparison.quality.difference.estimate == pytest.approx(0)
    assert "int8" in output.with_suffix(".html").read_text("utf-8")


@pytest.mark.parametrize("model", ["sequence", "wide"])
def test_locusts_own_command_line_takes_their_test_sets(world: World, model: str, tmp_path: Path) -> None:
    output = tmp_path / "locust.json"
    options = ["--twin-testset", str(world.folder / f"{model}.npz"), "--twin-model", model, "--twin-mode", "accuracy"]
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        str(LOCUSTFILE),
        "--headless",
        "--host",
        world.server.target,
        *options,
    ]
    environment = {**os.environ, "GEVENT_BACKEND": "select"}
    ran = subprocess.run(
        [*command, "--twin-results", str(output)], check=False, capture_output=True, text=True, env=environment
    )
    assert ran.returncode == 0, ran.stderr
    for arm in read_record(output).runs["accuracy"].arms.values():
        assert (arm.answers is not None, arm.quality is not None) == (model == "wide", model == "sequence")


def test_metrics_tell_the_quantised_variant_and_nothing_of_classes_that_there_are_not(world: World) -> None:
    url = f"http://127.0.0.1:{world.server.metrics_port}"
    page = read_metrics(url)
    told = page.by_label("twinserve_model_info", "quantization", model="regression")
    assert set(told) == {"none", "unknown"}
    for model in ("regression", "wide"):
        world.call("traffic", "--model", model, "--shadow", "int8=1", "--split", "int8=0")

    def shadowed() -> bool:
        for model in ("regression", "wide"):
            world.predict(model)
        page = read_metrics(url)
        return all(page.sum("twinserve_shadow_requests_total", model=model) for model in ("regression", "wide"))

    wait_until(shadowed, 30)
    page = read_metrics(url)
    for name in ("images_total", "disagreements_total", "probability_difference_count"):
        assert page.sum(f"twinserve_shadow_{name}", model="regression") is None
        assert page.sum(f"twinserve_shadow_{name}", model="wide") is not None
    (regression,) = (one for one in json.loads(run("top", url, "--json"))["models"] if one["name"] == "regression")
    assert [variant["disagreement"] for variant in regression["variants"]] == [None, None]
    assert [variant["baseline"] for variant in regression["variants"]] == [True, False]


def test_a_new_version_takes_over_while_the_server_runs_and_is_rolled_back(world: World) -> None:
    regression = ("--input", "near:4:FP32", "--input", "far:2:FP32:-10..10", "--output", "y:1:FP32:tensor")
    twice = str(world.folder / "twice.onnx")
    assert "regression/2" in add(world.folder, "regression", "--fp32", twice, "--int8", twice, *regression)
    before = np.array(world.predict("regression", "--variant", "fp32")[0]["outputs"]["y"])
    for action, factor, version in (("activate", 2, "2"), ("rollback", 1, "1")):
        world.call("versions", action, "--model", "regression")
        (answer,) = world.predict("regression", "--variant", "fp32")
        assert answer["version"] == version
        np.testing.assert_allclose(answer["outputs"]["y"], factor * before, rtol=1e-5)
