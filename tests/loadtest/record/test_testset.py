"""The test set is read without torch, and what is wrong with one is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twinserve_loadtest.record.measurement import Model
from twinserve_loadtest.record.testset import (
    FILE_NAME,
    TestSet,
    TestSetError,
    fit_to_model,
    load_test_set,
    save_test_set,
)

INFO: dict[str, Any] = {"name": "toy", "source": "a test", "full": True}


def write(path: Path, **changes: Any) -> Path:
    """An archive with some of its keys replaced; None leaves one out."""
    keys: dict[str, Any] = {
        "images": np.arange(3 * 4, dtype=np.uint8).reshape(3, 2, 2),
        "labels": np.array([0, 1, 2]),
        "info": np.array(json.dumps(INFO)),
        **changes,
    }
    np.savez(path, **{key: value for key, value in keys.items() if value is not None})
    return path


def test_a_folder_or_a_file_may_be_named(tmp_path: Path) -> None:
    write(tmp_path / FILE_NAME)
    by_file, by_folder = load_test_set(tmp_path / FILE_NAME), load_test_set(tmp_path)
    assert by_file.info == by_folder.info
    assert (by_file.info.name, by_file.info.images, by_file.info.full) == ("toy", 3, True)
    assert by_file.images.dtype == np.uint8
    assert by_file.labels.tolist() == [0, 1, 2]


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    original = load_test_set(write(tmp_path / FILE_NAME))
    save_test_set(original, tmp_path / "copy.npz")
    copy = load_test_set(tmp_path / "copy.npz")
    assert copy.info == original.info
    np.testing.assert_array_equal(copy.images, original.images)


def test_a_part_of_the_set_does_not_pass_for_the_full_set(tmp_path: Path) -> None:
    whole = load_test_set(write(tmp_path / FILE_NAME))
    assert not whole.head(2).info.full
    assert whole.head(2).info.images == 2
    assert whole.head(3) is whole


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"images": None}, "images.* is missing"),
        ({"info": np.array("{}")}, "'name' is missing"),
        ({"info": np.array("no json")}, "not a usable test set"),
        ({"labels": np.array([0, 1])}, "3 images but 2 labels"),
        ({"labels": np.array([0, 1, -1])}, "labels must lie in"),
        ({"images": np.zeros((3, 2, 2))}, "images are float64"),
        ({"images": np.zeros((0, 2, 2), np.uint8), "labels": np.zeros(0, int)}, "the test set is empty"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(TestSetError, match=text):
        load_test_set(write(tmp_path / FILE_NAME, **changes))


def test_a_missing_or_damaged_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TestSetError, match="twinserve models build"):
        load_test_set(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(b"PK\3\4 cut off")
    with pytest.raises(TestSetError, match=FILE_NAME):
        load_test_set(tmp_path)


def test_images_and_labels_must_belong_together() -> None:
    with pytest.raises(ValueError, match="uint8 or float32"):
        TestSet(np.zeros((1, 2), np.int32), np.zeros(1, np.int64), None)  # type: ignore[arg-type]


def model(**fields: Any) -> Model:
    """A model of named tensors, as a server describes it."""
    manifest = {
        "inputs": [
            {"name": "ids", "datatypes": ["INT64"], "shape": [-1]},
            {"name": "y", "datatypes": ["FP32"], "shape": []},
        ],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [2]}],
        "output": {"kind": "tensors", "metric": "mse"},
        **fields,
    }
    return Model("words", "1", [], [], {}, manifest)


def named(path: Path, **arrays: Any) -> TestSet:
    """The test set of such arrays, saved and read again as the load generator does."""
    np.savez(path / "mine.npz", **arrays)
    save_test_set(load_test_set(path / "mine.npz"), path / "copy.npz")
    return load_test_set(path / "copy.npz")


IDS, NUMBERS = np.arange(12).reshape(3, 4), np.ones(3, np.float32)


def test_named_tensors_are_sent_and_expected_by_their_names(tmp_path: Path) -> None:
    found = fit_to_model(named(tmp_path, ids=IDS, y=NUMBERS, **{"expected.y": np.zeros((3, 2))}), model())
    assert (found.info.name, found.info.full, len(found), list(found.targets)) == ("mine", True, 3, ["y"])
    sent = found.request(np.array([2, 0]))["inputs"]
    assert sent["ids"].tolist() == [[8, 9, 10, 11], [0, 1, 2, 3]]
    assert sent["y"].tolist() == [1, 1]
    assert len(found.head(2).inputs["y"]) == 2


def test_without_anything_expected_there_are_no_targets(tmp_path: Path) -> None:
    assert fit_to_model(named(tmp_path, ids=IDS, y=NUMBERS), model()).targets == {}
    labelled = fit_to_model(named(tmp_path, ids=IDS, y=NUMBERS, labels=np.array([0, 1, 1])), model())
    assert labelled.targets["labels"].tolist() == [0, 1, 1]


def test_a_lone_input_may_be_called_images(tmp_path: Path) -> None:
    one = model(inputs=[{"name": "images", "datatypes": ["FP32"], "shape": [4]}])
    found = fit_to_model(named(tmp_path, images=np.ones((3, 4), np.float32), labels=np.zeros(3, int)), one)
    assert list(found.request(np.array([0]))["inputs"]) == ["images"]


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"ids": IDS}, "y is missing"),
        ({"ids": IDS, "y": NUMBERS, "z": NUMBERS}, "holds z, which is neither an input nor an output"),
        ({"ids": IDS[:, 0], "y": NUMBERS}, "ids have shape .. per item, but the model words takes .-1."),
        ({"ids": IDS, "y": NUMBERS, "expected.y": np.zeros((3, 5))}, "y have shape .5. per item, but the .* takes .2."),
    ],
)
def test_what_does_not_fit_the_model_is_named(tmp_path: Path, arrays: dict[str, Any], text: str) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(TestSetError, match=text):
        fit_to_model(load_test_set(tmp_path / "mine.npz"), model())


def test_a_classifier_of_named_tensors_needs_a_class_an_item(tmp_path: Path) -> None:
    classifier = Model("words", "1", [], ["a", "b"], {}, {**model().manifest, "output": {"kind": "classifier"}})
    fit_to_model(named(tmp_path, ids=IDS, y=NUMBERS, labels=np.array([0, 1, 1])), classifier)
    with pytest.raises(TestSetError, match="has class 2, but the model only 2 classes"):
        fit_to_model(named(tmp_path, ids=IDS, y=NUMBERS, labels=np.array([0, 1, 2])), classifier)
    with pytest.raises(TestSetError, match="needs one class number per item"):
        fit_to_model(named(tmp_path, ids=IDS, y=NUMBERS), classifier)
