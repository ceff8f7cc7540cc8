"""Two versions of one variant are load-tested and compared like two variants, under the names that requests use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.server_process import ServerProcess
from support.short_comparison import shorten_comparisons
from support.tiny_model import LABELS, classes_of, items, make_tiny_models
from support.versions import add_version
from twinserve_client import Client
from twinserve_client.cli.root import app
from twinserve_loadtest.compare.exit_codes import NO_VERDICT
from twinserve_loadtest.record.files import read_record
from twinserve_loadtest.record.measurement import Dataset, Record
from twinserve_loadtest.record.testset import FILE_NAME, TestSet, save_test_set

PAIR = ["int8@1", "int8@2"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 2 confuses two of the five classes; the greatest, 3, knows another five."""
    folder = make_tiny_models(tmp_path_factory.mktemp("versions"), runtime="onnx")
    add_version(folder, "2", swapped=True)
    manifest = add_version(folder, "3") / "manifest.json"
    manifest.write_text(manifest.read_text().replace(json.dumps(LABELS), json.dumps([f"{name}s" for name in LABELS])))
    pixels = items(200)
    test_set = TestSet(pixels, classes_of(pixels), Dataset("tiny", "made here", len(pixels), full=True))
    save_test_set(test_set, folder / "tiny" / FILE_NAME)
    return folder


@pytest.fixture(scope="module")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Version 3 is active, 1 and 2 are loaded."""
    flags = ("--gateways", "1", "--profile", "isolated")
    with ServerProcess(models, tmp_path_factory.mktemp("server"), *flags) as process:
        with Client(process.target) as client:
            client.versions.load(1)
            client.versions.load(2)
        yield process


def load_test(server: ServerProcess, models: Path, output: Path, *options: str) -> Record:
    """``twinserve loadtest`` of the pair."""
    place = ("--target", server.target, "--metrics-url", f"http://127.0.0.1:{server.metrics_port}")
    chosen = ("--models", str(models), "--variants", ",".join(PAIR), "--output", str(output))
    result = CliRunner().invoke(app, ["loadtest", *place, *chosen, *options])
    assert result.exit_code == 0, result.output
    return read_record(output)


def test_a_comparison_on_a_server_of_its_own_finds_the_worse_version(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_comparisons(monkeypatch)
    output = tmp_path / "compare.json"
    options = ["--models", str(models), "--quick", "--output", str(output)]
    result = CliRunner().invoke(app, ["compare", *PAIR, *options])
    assert "DO NOT SHIP" in result.output
    assert result.exit_code == 1
    record = read_record(output)
    assert record.comparison is not None
    assert (record.comparison.baseline, record.comparison.candidate) == ("int8@1", "int8@2")
    assert (record.model.version, list(record.model.variants)) == ("1, 2", PAIR)
    first, second = record.model.variants.values()
    assert first.sha256 != second.sha256
    assert [first.memory is not None, second.memory is not None] == [True, True]
    assert set(record.processes) == {"gateway", *PAIR}
    page = output.with_suffix(".html").read_text("utf-8")
    assert all(name in page for name in PAIR)
    # The verdict holds for these files, and not once one of them is another.
    again = ["compare", *PAIR, "--models", str(models), "--reuse", str(output)]
    assert CliRunner().invoke(app, again).exit_code == 1
    manifest = models / "tiny" / "2" / "manifest.json"
    before = manifest.read_text()
    manifest.write_text(before.replace(second.sha256, "ab" * 32))
    refused = CliRunner().invoke(app, again)
    manifest.write_text(before)
    assert (refused.exit_code, "int8@2 of SHA-256" in refused.output) == (NO_VERDICT, True)


def test_a_load_test_counts_each_version_by_itself(server: ServerProcess, models: Path, tmp_path: Path) -> None:
    record = load_test(server, models, tmp_path / "accuracy.json", "--mode", "accuracy")
    arms = record.runs["accuracy"].arms
    answers = [arms[name].answers for name in PAIR]
    confused = int((classes_of(items(200)) < 2).sum())
    assert [found and found.correct for found in answers] == [200, 200 - confused]
    assert {name: record.processes[name] for name in PAIR} == dict.fromkeys(PAIR, record.processes["int8@1"])
    with Client(server.target) as client:
        resident = {
            version: sum(
                process.pss_bytes
                for process in client.get_status().processes
                if (process.variant, process.version) == ("int8", version)
            )
            for version in "123"
        }
    for name in PAIR:
        memory = record.model.variants[name].memory
        assert memory is not None
        assert memory.resident_pss is not None
        assert memory.resident_pss < sum(resident.values()) / 2  # of one version, not of all three


def test_versions_that_share_the_traffic_are_told_apart(server: ServerProcess, models: Path, tmp_path: Path) -> None:
    with Client(server.target) as client:
        # Requests that name no variant may meet versions only that take and answer the same as the active one.
        client.versions.activate(1, keep_previous=True)
        before = client.get_traffic()
        client.set_traffic(dict.fromkeys(PAIR, 1.0))
        told = client.describe_model(version=1)
        assert {variant.name: variant.weight for variant in told.variants} == {"fp32": 0.0, "int8": 0.5}
        record = load_test(server, models, tmp_path / "mixed.json", "--mode", "mixed", "--duration", "2")
        client.set_traffic(before.weights)
        client.versions.activate(3, keep_previous=True)
    arms = record.runs["mixed"].arms
    assert set(arms) == set(PAIR)
    assert all(arm.requests > 50 for arm in arms.values())


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (["int8@1", "int8@3"], "versions 1 and 3 of tiny have different classes"),
        (["int8@1", "int8@7"], "version: '7' of tiny is not loaded; loaded are: 1, 2, 3"),
        (["int8@1", "int9@2"], "version 2 has: fp32, int8"),
        (["int8@1", "int8@"], "a version is missing after @, as in int8@2"),
    ],
)
def test_versions_that_cannot_be_compared_are_refused(server: ServerProcess, pair: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["compare", *pair, "--target", server.target])
    assert result.exit_code == NO_VERDICT
    assert words in " ".join(result.output.split())


def test_a_version_that_cannot_be_loaded_is_named(models: Path) -> None:
    result = CliRunner().invoke(app, ["compare", "int8@1", "int8@9", "--models", str(models)])
    assert result.exit_code == NO_VERDICT
    assert "'9' of tiny is not in" in " ".join(result.output.split())


def test_an_answer_of_any_version_has_its_own_class_names(server: ServerProcess) -> None:
    pixels = items(3)
    with Client(server.target) as client:
        names = [LABELS[number] for number in classes_of(pixels)]
        assert client.predict(pixels, variant="int8").labels == [f"{name}s" for name in names]
        assert client.predict(pixels, variant="int8@1").labels == names
