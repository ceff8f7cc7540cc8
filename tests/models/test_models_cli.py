"""``twinserve models``: list, show, bench; the table stands beside the published one, the pictures name the data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.foreign_models import make_foreign_models
from twinserve_models import commands, listing


@pytest.fixture
def models(built: Path) -> Path:
    return built.parents[1]


def test_list_and_show_tell_what_is_there(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listing.list_models(models) == 0
    assert listing.show(models, "mnist", as_json=False) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "int8-dynamic" in text
    assert "a SUBSET, not comparable with the full set" in text


def test_show_json_is_the_manifest(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listing.show(models, "mnist", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["schema_version"] == 2


def test_bench_writes_table_figures_and_pictures(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = commands.bench(models, "mnist", 1, 1, 128, tmp_path / "bench.json", tmp_path / "plots")
    assert code == 0
    out = capsys.readouterr().out
    for figure in ("4,690.61", "1,232.20", "98.97", "98.98"):
        assert figure in out
    document = json.loads((tmp_path / "bench.json").read_text())["bench"]
    assert [row["variant"] for row in document["rows"]] == [
        *("fp32", "int8", "int8-dynamic"),
        *("fp32-ort", "int8-ort"),
    ]
    assert all(row["total"] == 128 and row["seconds"]["64"][0] > 0 for row in document["rows"])
    drawn = {path.name for path in (tmp_path / "plots").iterdir()}
    assert drawn == {
        f"{name}.{suffix}" for name in ("size", "accuracy", "latency", "loss") for suffix in ("svg", "png")
    }


def test_a_model_of_named_tensors_is_shown_by_its_signature_and_not_benched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_foreign_models(tmp_path)
    assert listing.show(tmp_path, "regression", as_json=False) == 0
    text = capsys.readouterr().out
    assert "near FP32 [4], far FP32 [2] → y FP32 [1]" in text
    assert "accuracy" not in text
    assert commands.bench(tmp_path, "regression", 1, 1, 0, None, None) == 1
    assert "`twinserve loadtest` measures any model" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("command", ["list", "show", "bench"])
def test_without_models_each_says_how_to_build_them(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "nowhere"
    code = {
        "list": lambda: listing.list_models(folder),
        "show": lambda: listing.show(folder, "mnist", as_json=False),
        "bench": lambda: commands.bench(folder, "mnist", 1, 1, 0, None, None),
    }[command]()
    assert code == 1
    assert "build it with `twinserve models build --models" in " ".join(capsys.readouterr().err.split())


def test_figures_that_could_not_be_written_are_not_measured(
    models: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "bench_models", lambda *_, **__: pytest.fail("it measures"))
    assert commands.bench(models, "mnist", 1, 1, 0, Path("/proc/bench.json"), None) == 1
    assert "/proc/bench.json: cannot be written (" in " ".join(capsys.readouterr().err.split())
