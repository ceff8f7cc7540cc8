"""``twinserve compare`` from end to end, on a server of its own, with a pair whose answers are known."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.short_comparison import shortened
from support.tiny_model import classes_of, items, make_tiny_models
from twinserve_loadtest.commands.compare import app
from twinserve_loadtest.commands.outcome import finish_comparison, run_compare
from twinserve_loadtest.compare.command import CompareOrder
from twinserve_loadtest.compare.exit_codes import NO_VERDICT
from twinserve_loadtest.compare.gates import parse_gates
from twinserve_loadtest.compare.measurements import ExperimentSettings
from twinserve_loadtest.compare.rate_ladder import Objective
from twinserve_loadtest.record.files import read_record
from twinserve_loadtest.record.measurement import Dataset
from twinserve_loadtest.record.stamp import read_stamp
from twinserve_loadtest.record.testset import FILE_NAME, TestSet, save_test_set
from twinserve_loadtest.record.wire import to_plain
from twinserve_loadtest.report.junit import junit


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of our own: its test set is larger than the shared one's."""
    folder = make_tiny_models(tmp_path_factory.mktemp("compared"), runtime="onnx")
    pixels = items(400)
    test_set = TestSet(pixels, classes_of(pixels), Dataset("tiny", "made here", len(pixels), full=True))
    save_test_set(test_set, folder / "tiny" / FILE_NAME)
    return folder


@dataclass(frozen=True)
class Outcome:
    """What one real run left behind."""

    code: int
    told: dict[str, object]
    path: Path


@pytest.fixture(scope="module")
def outcome(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """One comparison from end to end; it is the slow part, so that all tests read the same one."""
    path = tmp_path_factory.mktemp("compare") / "deep" / "compare.json"
    settings = shortened(ExperimentSettings.quickly("fp32", "int8", 0))
    order = CompareOrder(
        settings=settings,
        gates=parse_gates({"max_accuracy_loss": "2pp", "max_size_ratio": 1.5}, "test"),
        target=None,
        metrics_urls=(),
        model=None,
        models=models,
        data=None,
        images=None,
        batching=True,
        objective=Objective(),
        as_json=True,
        output=path,
        command="twinserve compare fp32 int8",
    )
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = run_compare(order)
    return Outcome(code, json.loads(printed.getvalue()), path)


def test_it_starts_a_server_measures_judges_and_writes(outcome: Outcome) -> None:
    assert (outcome.code, outcome.told["outcome"], outcome.told["exit_code"]) == (0, "SHIP", 0)
    found = read_record(outcome.path)
    assert found.comparison is not None
    assert found.comparison.accuracy is not None
    assert found.comparison.accuracy.disagreement_count == 0
    assert all(arm.answers and arm.answers.share.estimate == 1.0 for arm in found.runs["accuracy"].arms.values())
    assert found.missing == []
    assert set(found.runs) == {"single-stream", "open", "offline", "accuracy"}
    assert all(arm.stages is not None for arm in found.runs["single-stream"].arms.values())
    assert found.model.variants["int8"].memory is not None
    assert found.model.variants["int8"].memory.resident_pss
    assert found.stamp.artefacts.keys() == {"fp32", "int8"}
    assert "quick" in {remark.code for remark in found.caveats}
    assert "SHIP" in outcome.path.with_suffix(".html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fp32", "int9"], ["int9"]),
        (["fp32", "int8", "--models", "nowhere"], ["nowhere"]),
        (["fp32", "int8", "--max-accuracy-loss", "0.5%"], ["max_accuracy_loss", "0.5pp"]),
        (["fp32", "int8", "--min-speedup", "p99"], ["--min-speedup", "p99=1.2"]),
        (["fp32", "int8", "--min-speedup", "p98=2"], ["min_speedup.p98"]),
        (["fp32", "int8", "--gates", "none.toml"], ["none.toml"]),
        (["fp32", "int8", "--precision", "0"], ["--precision"]),
        (["fp32", "int8", "--time", "5"], ["--time", "30"]),
        (["fp32", "int8", "--slo-ms", "-1"], ["--slo-ms"]),
        (["fp32", "int8", "--reuse", "none.json"], ["none.json"]),
        (["fp32", "int8", "--against", "none.json"], ["--against", "none.json: cannot be read"]),
        (["fp32", "int8", "--junit", "/proc/x.xml"], ["--junit", "/proc/x.xml: cannot be written"]),
        (["fp32", "int8", "--summary", "/"], ["--summary", "/: cannot be written (is a folder)"]),
        (["fp32", "int8", "--target", "127.0.0.1:1"], ["127.0.0.1:1"]),
        (["fp32", "int8", "--output", "/proc/x.json"], ["/proc/x.json: cannot be written", "--output"]),
        (["fp32", "int8", "--output", "/"], ["/: cannot be written (is a folder)", "--output"]),
        (["fp32"], ["Missing argument", "B"]),
        (["fp32", "int8", "--sloms", "3"], ["--sloms"]),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(models: Path, arguments: list[str], words: list[str]) -> None:
    chosen = arguments if "--models" in arguments else [*arguments, "--models", str(models)]
    result = CliRunner().invoke(app, chosen)
    assert result.exit_code == NO_VERDICT
    assert "Traceback" not in result.output
    told = " ".join(result.output.split())
    for word in words:
        assert word in told


def test_a_result_that_cannot_be_written_in_the_end_is_kept_elsewhere(
    outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    record = read_record(outcome.path)
    # It can be opened, and takes nothing: a disk that is full by the time the measuring is done.
    assert finish_comparison(record, Path("/dev/full"), as_json=True) == NO_VERDICT
    told = json.loads((printed := capsys.readouterr()).out)
    assert (told["outcome"], told["exit_code"]) == ("SHIP", NO_VERDICT)
    assert to_plain(read_record(Path(told["result"]))) == to_plain(record)
    assert "/dev/full: cannot be written (No space left on device)" in printed.err


def test_a_result_for_a_device_gets_no_page_beside_it(outcome: Outcome) -> None:
    assert finish_comparison(read_record(outcome.path), Path("/dev/null"), as_json=True) == 0
    assert not Path("/dev/null").is_file()
    assert not Path("/dev/null.html").exists()


def test_an_earlier_verdict_is_given_again_here_and_refused_elsewhere(
    models: Path, outcome: Outcome, tmp_path: Path
) -> None:
    again = CliRunner().invoke(app, ["fp32", "int8", "--models", str(models), "--reuse", str(outcome.path), "--json"])
    assert again.exit_code == 0
    assert json.loads(again.stdout)["outcome"] == "SHIP"
    document = json.loads(outcome.path.read_text("utf-8"))
    assert document["stamp"]["isa"] == read_stamp().isa
    document["stamp"]["isa"] = "aarch64+asimd"
    moved = tmp_path / "compare.json"
    moved.write_text(json.dumps(document), "utf-8")
    elsewhere = CliRunner().invoke(app, ["fp32", "int8", "--models", str(models), "--reuse", str(moved)])
    assert elsewhere.exit_code == NO_VERDICT
    assert "aarch64+asimd" in elsewhere.stderr


def test_a_pipeline_gets_junit_a_summary_and_what_changed(models: Path, outcome: Outcome, tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("compare.xml", "compare.md")}
    options = ["--junit", str(files["compare.xml"]), "--summary", str(files["compare.md"])]
    earlier = ["--reuse", str(outcome.path), "--against", str(outcome.path)]
    arguments = ["fp32", "int8", "--models", str(models), *earlier, *options]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert "still SHIP" in result.stdout
    assert files["compare.xml"].read_text() == junit(read_record(outcome.path))
    assert "still SHIP" in files["compare.md"].read_text()
    told = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert (told["change"]["outcome_before"], told["change"]["stamp"]) == ("SHIP", [])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["fp32", "int9"], "int9"),
        (["fp32", "int8", "--gates", "none.toml"], "none.toml: cannot be read"),
        (["fp32", "int8", "--time", "5"], "--time is 5: at least 30 seconds"),
        (["fp32", "int8", "--against", "none.json"], "--against: none.json: cannot be read"),
        (["fp32", "int8", "--against", "EARLIER", "--model", "words"], "compares variants of tiny, not of words"),
        (["fp32", "int8", "--token-file", "none.txt"], "--token-file none.txt"),
    ],
)
def test_files_of_an_earlier_run_do_not_pass_for_one_without_a_verdict(
    models: Path, outcome: Outcome, tmp_path: Path, arguments: list[str], why: str
) -> None:
    arguments = [str(outcome.path) if word == "EARLIER" else word for word in arguments]
    files = [tmp_path / "compare.xml", tmp_path / "compare.md"]
    for file in files:
        file.write_text("SHIP")
    options = ["--junit", str(files[0]), "--summary", str(files[1])]
    result = CliRunner().invoke(app, [*arguments, "--models", str(models), *options])
    assert result.exit_code == NO_VERDICT
    for file in files:
        assert "SHIP" not in file.read_text()
        assert why in file.read_text()
