"""The images that variants answer differently, as small pictures with every answer and the label."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from twinserve_loadtest.record.measurement import NOT_ANSWERED
from twinserve_loadtest.record.wire import decode_classes
from twinserve_loadtest.report.content import Answer, Gallery, GalleryImage
from twinserve_loadtest.report.document import Figure
from twinserve_loadtest.report.numbers import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twinserve_loadtest.record.measurement import Record
    from twinserve_loadtest.record.run import Run
    from twinserve_loadtest.record.testset import TestSet

#: Pictures on the page: a few dozen show what kind of image it is, more would only make it larger.
MOST_IMAGES = 36
_TITLE = "Where the variants disagree"


def gallery_of(record: Record, test_set: TestSet | None, source: str) -> Figure | str | None:
    """The images that the variants answer differently, or why they cannot be shown; None: nothing was compared.

    A comparison keeps the first of them; of a load test the pictures come from ``test_set``.
    """
    if record.model.metric:
        return None
    if record.comparison is None:
        return _from_test_set(record, test_set, source)
    found, names = record.comparison.accuracy, record.model.labels
    if found is None:
        return None
    images = []
    for entry in found.disagreements[:MOST_IMAGES]:
        answers = [
            Answer(arm, names[answer], given[answer] if answer < len(given) else None, answer == entry.label)
            for arm, answer, given in (
                (record.comparison.baseline, entry.baseline_class, entry.baseline_probabilities),
                (record.comparison.candidate, entry.candidate_class, entry.candidate_probabilities),
            )
        ]
        pixels = np.frombuffer(base64.b64decode(entry.pixels), np.uint8)
        picture = png_data_uri(pixels, record.model.item_shape)
        images.append(GalleryImage(entry.index, names[entry.label], picture, answers))
    return _figure(images, found.disagreement_count, found.images, source)


def _from_test_set(record: Record, test_set: TestSet | None, source: str) -> Figure | str:
    run = record.runs["accuracy"]
    answered = {
        name: decode_classes(arm.answers.predictions)
        for name, arm in run.arms.items()
        if arm.answers is not None and arm.answers.predictions
    }
    if len(answered) < 2:
        return "There is no gallery: it needs answers to the whole test set from at least two variants."
    predictions = np.stack(list(answered.values()))
    everywhere = (predictions != NOT_ANSWERED).all(axis=0)
    differing = np.flatnonzero(everywhere & (predictions != predictions[0]).any(axis=0))
    if test_set is None or not _is_the_one(test_set, run, answered):
        return (
            f"The variants disagree on {len(differing):,} of {int(everywhere.sum()):,} images. To show them, give the "
            f"test set that was sent ({record.dataset.images:,} images of {record.dataset.name}): "
            "`--test-set models/<model>/testset.npz`."
        )
    labels = record.model.labels
    images = []
    for index in differing[:MOST_IMAGES]:
        truth = int(test_set.labels[index])
        answers = [
            Answer(name, labels[int(given[index])], None, int(given[index]) == truth)
            for name, given in answered.items()
        ]
        picture = png_data_uri(np.asarray(test_set.images[index]).ravel(), record.model.item_shape)
        images.append(GalleryImage(int(index), labels[truth], picture, answers))
    return _figure(images, len(differing), int(everywhere.sum()), source)


def png_data_uri(pixels: NDArray[Any], shape: Sequence[int]) -> str:
    """One item as a PNG in a data URI; empty when its shape is not that of a picture.

    Args:
        pixels: flat; uint8 (0..255) or floats (0..1).
        shape: H x W, H x W x C or C x H x W with C = 1 or 3.
    """
    if pixels.size == 0 or pixels.size != int(np.prod(shape)):
        return ""
    array = np.asarray(pixels).reshape(tuple(shape))
    if array.ndim == 3 and array.shape[0] in (1, 3):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] == 3):
        return ""
    if array.dtype != np.uint8:
        array = np.clip(np.round(array * 255), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _is_the_one(test_set: TestSet, run: Run, answered: dict[str, NDArray[np.uint16]]) -> bool:
    """Whether the labels of ``test_set`` reproduce the accuracy that was recorded."""
    if any(len(given) != len(test_set) for given in answered.values()):
        return False
    recorded = {name: run.arms[name].answers for name in answered}
    return all(
        int((answered[name] == test_set.labels).sum()) == found.correct
        for name, found in recorded.items()
        if found is not None and found.coverage >= 1
    )


def _figure(images: list[GalleryImage], count: int, total: int, source: str) -> Figure:
    share = percent(count / total if total else 0.0)
    summary = f"The variants disagree on {count:,} of {total:,} images ({share})."
    if count == 0:
        summary = f"The variants agree on all {total:,} images."
    shown = f" The first {len(images)} are shown." if count > len(images) else ""
    return Figure(_TITLE, Gallery(images, count, summary), summary + shown, source=source)
