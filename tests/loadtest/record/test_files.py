"""Records are written whole or not at all, read strictly, and those of older versions are still read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.records import make_record
from twinserve_loadtest.record.files import RecordError, parse_record, read_record, save_record
from twinserve_loadtest.record.measurement import NOT_ANSWERED, Record
from twinserve_loadtest.record.wire import decode_classes, encode_classes, to_plain

HERE = Path(__file__).parent


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    record = make_record()
    path = tmp_path / "deep" / "record.json"
    assert save_record(record, path) == (path, "")
    assert to_plain(read_record(path)) == to_plain(record)
    assert [file.name for file in path.parent.iterdir()] == ["record.json"]


def test_what_a_place_does_not_take_is_kept_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place, problem = save_record(make_record(), Path("/dev/full"))
    assert problem == "/dev/full: cannot be written (No space left on device); make room, or name another place"
    assert to_plain(read_record(place)) == to_plain(make_record())


def test_predictions_take_little_room_and_come_back_exactly() -> None:
    predictions = np.array([0, 9, NOT_ANSWERED, 1000], np.uint16)
    assert np.array_equal(decode_classes(encode_classes(predictions)), predictions)
    assert len(encode_classes(np.zeros(10_000, np.uint16))) < 27_000


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"schema_version": 3}, "schema_version is 3; this program reads 1 and 2"),
        ({"dataset": {}}, "field dataset.name: Field required"),
        ({"runs": {"racing": {}}}, "field runs.racing"),
        ({"target": 8500}, "field target: Input should be a valid string"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    path = tmp_path / "record.json"
    save_record(make_record(), path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(RecordError, match=text):
        read_record(path)


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="write one with `twinserve loadtest`"):
        read_record(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("not json")
    with pytest.raises(RecordError, match="is not JSON"):
        read_record(tmp_path / "text.json")


def old(name: str) -> tuple[dict[str, Any], Record]:
    """A file of version 1 and the record it is read as."""
    path = HERE / f"{name}.json"
    return json.loads(path.read_text("utf-8")), read_record(path)


def test_a_load_test_of_version_1_is_read_with_its_figures() -> None:
    before, record = old("v1-loadtest")
    assert (record.comparison, record.complete, record.interrupted()) == (None, False, True)
    assert list(record.runs) == [run["name"] for run in before["scenarios"]]
    for run in before["scenarios"]:
        for name, result in run["variants"].items():
            arm = record.runs[run["name"]].arms[name]
            assert arm.latency.at("p99") == result["latency"]["p99_us"]
            assert arm.latency.histogram.get_total_count() == result["latency"]["count"]
            assert arm.images_per_second == result["images_per_second"]
            if result["stages"] is not None:
                assert arm.stages is not None
                assert arm.stages.seconds["inference"] == pytest.approx(result["stages"]["inference_us"] / 1e6)
    assert record.rates is not None
    assert record.rates.sustained == before["scenarios"][-1]["sustained_rate"]
    answers = record.runs["accuracy"].arms["int8"].answers
    assert answers is not None
    assert (answers.correct, answers.predictions) == (494, before["predictions"]["int8"])
    assert answers.share.estimate == 494 / 500


def test_what_a_load_test_of_version_1_says_in_prose_is_read_as_data() -> None:
    _, record = old("v1-loadtest")
    assert (record.same_machine, record.foreign_cpu_share) == (True, 0.34)
    assert [(remark.code, remark.section, remark.text) for remark in record.missing] == [
        ("interrupted", "", "The test was interrupted."),
        ("not_measured", "throughput", "Closed loop, int8: 1 block(s) not run."),
        ("not_measured", "latency", "Open loop, fp32: 3 requests lost (UNAVAILABLE)."),
    ]
    assert {"subset", "same_machine", "disturbed", "saturated"} <= {remark.code for remark in record.caveats}


def test_a_comparison_of_version_1_is_read_with_its_verdict_and_figures() -> None:
    before, record = old("v1-compare")
    assert record.comparison is not None
    assert to_plain(record.comparison.verdict) == before["verdict"]
    assert set(record.runs) == {"single-stream", "open", "offline", "accuracy"}
    for name, run in (("single-stream", "single_stream"), ("open", "server"), ("offline", "offline")):
        found, given = record.runs[name], before["scenarios"][run]  # type: ignore[index]
        assert [effect.interval and to_plain(effect.interval) for effect in found.effects] == [
            effect["interval"] for effect in given["effects"]
        ]
        assert {effect.scenario for effect in found.effects} == {name}
        assert found.arms["int8"].latency.percentiles_us == given["arms"]["int8"]["percentiles_us"]
        assert len(found.blocks) == len(given["blocks"])
        assert found.arms["fp32"].stages is not None
    assert record.rates is not None
    assert record.rates.sustained == before["slo"]["sustained_rate"]
    assert len(record.comparison.crossover) == len(before["crossover"])
    accuracy, shares = record.comparison.accuracy, before["accuracy"]["accuracy"]
    assert accuracy is not None
    assert accuracy.disagreement_count == before["accuracy"]["disagreement_count"]
    answers = record.runs["accuracy"].arms["int8"].answers
    assert answers is not None
    assert to_plain(answers.share) == shares["int8"]
    assert {"isa", "quick", "subset", "invalid"} <= {remark.code for remark in record.caveats}


@pytest.mark.parametrize("name", ["v1-loadtest", "v1-compare"])
def test_an_older_file_that_lacks_a_field_is_named(name: str) -> None:
    document, _ = old(name)
    del document["scenarios"]
    with pytest.raises(RecordError, match=r"old\.json: field 'scenarios' is missing"):
        parse_record(document, "old.json")


@pytest.mark.parametrize("name", ["v1-loadtest", "v1-compare"])
def test_an_older_file_is_written_in_todays_form(name: str, tmp_path: Path) -> None:
    _, record = old(name)
    save_record(record, tmp_path / "new.json")
    assert json.loads((tmp_path / "new.json").read_text("utf-8"))["schema_version"] == 2
    assert to_plain(read_record(tmp_path / "new.json")) == to_plain(record)
