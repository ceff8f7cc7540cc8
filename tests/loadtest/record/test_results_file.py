"""Results are written whole or not at all, and read strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.load_results import make_results
from twinserve_loadtest.record.load_results import NOT_ANSWERED, decode_predictions, encode_predictions
from twinserve_loadtest.record.results_file import ResultsError, load_results, save_results


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    results = make_results()
    path = tmp_path / "deep" / "results.json"
    save_results(results, path)
    assert load_results(path) == results
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]


def test_predictions_take_little_room_and_come_back_exactly() -> None:
    predictions = np.array([0, 9, NOT_ANSWERED, 1000], np.uint16)
    text = encode_predictions(predictions)
    assert np.array_equal(decode_predictions(text), predictions)
    assert len(encode_predictions(np.zeros(10_000, np.uint16))) < 27_000


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"schema_version": 2}, "schema_version is 2; this program reads 1"),
        ({"dataset": {}}, "dataset.name: Field required"),
        ({"scenarios": [{"name": "racing"}]}, "scenarios.0.name"),
        ({"target": 8500}, "target: Input should be a valid string"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    path = tmp_path / "results.json"
    save_results(make_results(), path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ResultsError, match=text):
        load_results(path)


def test_a_file_that_is_no_results_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="write one with `twinserve loadtest`"):
        load_results(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("not json")
    with pytest.raises(ResultsError, match="is not JSON"):
        load_results(tmp_path / "text.json")
