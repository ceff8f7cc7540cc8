"""The test set that a load test sends: ``models/<model>/testset.npz``, of ``twinserve models build`` or your own.

The archive holds ``images`` (N x item shape, uint8 or float32) and ``labels`` (N, integers). Of a model of named
tensors it holds an array by the name of each input (N x its item), and what is expected: arrays by the names of outputs
(where an input has the same name, ``expected.NAME``), or ``labels``. ``info``, a JSON text, says which data set this
is, where it came from and whether it is the full set. No torch is needed to read it.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from twinserve_loadtest.record.measurement import NOT_ANSWERED, Dataset

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from twinserve_loadtest.record.measurement import Model

FILE_NAME = "testset.npz"
EXPECTED = "expected."
_NO_LABELS = np.empty(0, np.int64)


class TestSetError(Exception):
    """A test set that cannot be used; the message names the file and what to do."""

    __test__ = False  # not a pytest class


@dataclass(frozen=True, slots=True)
class TestSet:
    """Images with their true labels, or named tensors with the expected outputs, in a fixed order."""

    __test__ = False  # not a pytest class

    images: npt.NDArray[Any]
    """N x item shape, uint8 (0..255) or float32 (0..1); of named tensors the first input."""
    labels: npt.NDArray[np.int64]
    """N true classes (or N x positions); empty: there are none."""
    info: Dataset
    inputs: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    """Named tensors, N x item each, which are sent instead of ``images``."""
    expected: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    """What outputs should be, N x item each."""

    def __post_init__(self) -> None:
        if len(self.images) == 0:
            raise ValueError("the test set is empty")
        for name, array in (("labels", self.labels), *self.inputs.items(), *self.expected.items()):
            if len(self.images) != len(array) and not (name == "labels" and self.named and not len(array)):
                raise ValueError(f"{len(self.images)} {'items' if self.named else 'images'} but {len(array)} {name}")
        if self.images.dtype not in (np.uint8, np.float32) and not self.named:
            raise ValueError(f"images are {self.images.dtype}; uint8 or float32 is required")
        if self.labels.size and (self.labels.min() < 0 or self.labels.max() >= NOT_ANSWERED):
            raise ValueError(f"labels must lie in 0..{NOT_ANSWERED - 1}")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def named(self) -> bool:
        """Whether it holds named tensors."""
        return bool(self.inputs)

    @property
    def targets(self) -> dict[str, npt.NDArray[Any]]:
        """What the answers of a model without classes are held against: outputs, or ``labels``; empty: nothing."""
        return dict(self.expected) or ({"labels": self.labels} if len(self.labels) else {})

    def request(self, indices: npt.NDArray[np.int64]) -> dict[str, Any]:
        """Some items as ``Client.predict`` takes them."""
        if self.named:
            return {"inputs": {name: array[indices] for name, array in self.inputs.items()}}
        return {"images": self.images[indices]}

    def head(self, count: int) -> TestSet:
        """The first ``count`` images, marked as a subset when that leaves some out."""
        if count >= len(self):
            return self
        return TestSet(
            self.images[:count],
            self.labels[:count],
            Dataset(self.info.name, self.info.source, count, full=False),
            {name: array[:count] for name, array in self.inputs.items()},
            {name: array[:count] for name, array in self.expected.items()},
        )


def load_test_set(path: Path) -> TestSet:
    """Read a test set.

    Args:
        path: The archive, or the folder of a model that holds ``testset.npz``.

    Raises:
        TestSetError: the file is absent, damaged, or lacks a key.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: np.ascontiguousarray(archive[name]) for name in archive.files if name != "info"}
            info = json.loads(str(archive["info"])) if "info" in archive.files else None
        return _of_arrays(arrays, {"name": file.stem, "source": str(file), "full": True} if info is None else info)
    except FileNotFoundError:
        raise TestSetError(
            f"no test set at {file}; `twinserve models build` writes one for its own models; for others, give an .npz "
            "with --data"
        ) from None
    except KeyError as error:
        raise TestSetError(
            f"{file}: {error} is missing; a test set has images (or an array named after each input), labels and info "
            "(name, source, full)"
        ) from None
    except (OSError, ValueError, zipfile.BadZipFile, TypeError) as error:
        raise TestSetError(f"{file}: is not a usable test set ({error})") from None


def _of_arrays(arrays: dict[str, npt.NDArray[Any]], info: dict[str, Any]) -> TestSet:
    labels = arrays.pop("labels", _NO_LABELS).astype(np.int64)
    expected = {name.removeprefix(EXPECTED): arrays.pop(name) for name in list(arrays) if name.startswith(EXPECTED)}
    if not arrays:
        raise KeyError("images")
    first = arrays["images"] if "images" in arrays else next(iter(arrays.values()))
    if first.ndim == 0:
        raise ValueError("its arrays have no item axis")
    dataset = Dataset(str(info["name"]), str(info["source"]), len(first), bool(info["full"]))
    images_alone = list(arrays) == ["images"] and not info.get("named", False)
    return TestSet(first, labels, dataset, {} if images_alone else arrays, expected)


def fit_to_model(test_set: TestSet, model: Model) -> TestSet:
    """``test_set`` as ``model`` takes it: which of its arrays are sent, and which are expected.

    Raises:
        TestSetError: it does not fit the model; names the array, its shape and what is wanted.
    """
    inputs, outputs = model.tensors("inputs"), model.tensors("outputs")
    arrays = dict(test_set.inputs) or {"images": test_set.images}
    if not inputs:
        return _of_images(test_set, model, arrays)
    if missing := [name for name in inputs if name not in arrays]:
        raise TestSetError(
            f"the test set holds {', '.join(arrays)}; the model {model.name} takes {', '.join(inputs)}: "
            f"{missing[0]} is missing"
        )
    expected = {
        name: array
        for name, array in {**arrays, **test_set.expected}.items()
        if name in outputs and (name not in inputs or name in test_set.expected)
    }
    if unknown := [name for name in (*arrays, *test_set.expected) if name not in inputs and name not in outputs]:
        raise TestSetError(
            f"the test set holds {unknown[0]}, which is neither an input nor an output of {model.name} "
            f"({', '.join((*inputs, *outputs))})"
        )
    for name, array, (_, shape) in (
        *((name, arrays[name], inputs[name]) for name in inputs),
        *((name, array, outputs[name]) for name, array in expected.items()),
    ):
        sizes = list(array.shape[1:])
        if len(sizes) != len(shape) or any(wanted not in (size, -1) for size, wanted in zip(sizes, shape, strict=True)):
            raise TestSetError(
                f"the test set's {name} have shape {sizes} per item, but the model {model.name} takes {shape}"
            )
    try:
        sent = {name: arrays[name] for name in inputs}
        found = replace(test_set, images=next(iter(sent.values())), inputs=sent, expected=expected)
    except ValueError as error:
        raise TestSetError(f"the test set cannot be used: {error}") from None
    return found if model.metric else _with_classes(found, model)


def _of_images(test_set: TestSet, model: Model, arrays: Mapping[str, npt.NDArray[Any]]) -> TestSet:
    """Of a classifier with one input of a fixed shape: ``images``, or an array by the input's own name."""
    told = model.manifest.get("inputs") or [{"name": "input"}]
    name = next((name for name in ("images", str(told[0]["name"]), "input") if name in arrays), None)
    if name is None or len(arrays) > 1:
        raise TestSetError(f"the test set holds {', '.join(arrays)}; the model {model.name} takes images and labels")
    shape = list(arrays[name].shape[1:])
    if shape != model.item_shape:
        raise TestSetError(f"the test set's images are {shape}, the model {model.name} takes {model.item_shape}")
    try:
        found = TestSet(arrays[name], test_set.labels, test_set.info)
    except ValueError as error:
        raise TestSetError(f"the test set cannot be used: {error}") from None
    return _with_classes(found, model)


def _with_classes(test_set: TestSet, model: Model) -> TestSet:
    if test_set.labels.shape != (len(test_set),):
        raise TestSetError(
            f"the test set has labels of shape {list(test_set.labels.shape)}; {model.name} is a classifier and needs "
            "one class number per item"
        )
    if test_set.labels.max() >= len(model.labels):
        raise TestSetError(
            f"the test set has class {test_set.labels.max()}, but the model only {len(model.labels)} classes"
        )
    return test_set


def save_test_set(test_set: TestSet, path: Path) -> None:
    """Write ``test_set`` in the same form, uncompressed."""
    info = {"name": test_set.info.name, "source": test_set.info.source, "full": test_set.info.full}
    arrays = {"info": np.array(json.dumps({**info, "named": test_set.named}))}
    arrays.update(test_set.inputs or {"images": test_set.images})
    if len(test_set.labels) or not test_set.named:
        arrays["labels"] = test_set.labels
    arrays.update({f"{EXPECTED}{name}": array for name, array in test_set.expected.items()})
    # Not np.savez: an input may have the name of one of its arguments.
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
