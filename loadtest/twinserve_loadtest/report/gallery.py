"""The images on which variants part, as tiny pictures with every answer and the label."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from twinserve_loadtest.record.load_results import NOT_ANSWERED, decode_predictions
from twinserve_loadtest.report.content import Answer, Gallery, GalleryImage
from twinserve_loadtest.report.document import Figure
from twinserve_loadtest.report.numbers import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twinserve_loadtest.record.findings import AccuracyResult
    from twinserve_loadtest.record.load_results import Results
    from twinserve_loadtest.record.testset import TestSet

#: Pictures on the page: a few dozen tell the kind of image, more only its size.
MOST_IMAGES = 36
_TITLE = "Where the variants part"


def gallery_compared(found: AccuracyResult, baseline: str, candidate: str, source: str) -> Figure:
    """The disagreements that a comparison kept."""
    names = found.class_names
    images = []
    for entry in found.disagreements[:MOST_IMAGES]:
        answers = [
            Answer(arm, names[answer], given[answer] if answer < len(given) else None, answer == entry.label)
            for arm, answer, given in (
                (baseline, entry.baseline_class, entry.baseline_probabilities),
                (candidate, entry.candidate_class, entry.candidate_probabilities),
            )
        ]
        pixels = np.frombuffer(base64.b64decode(entry.pixels), np.uint8)
        images.append(GalleryImage(entry.index, names[entry.label], png_data_uri(pixels, found.item_shape), answers))
    return _figure(images, found.disagreement_count, found.images, source)


def gallery_tested(results: Results, test_set: TestSet | None, source: str) -> Figure | str:
    """The disagreements of a load test, or why they cannot be shown."""
    answered = {name: decode_predictions(text) for name, text in results.predictions.items()}
    if len(answered) < 2:
        return "No gallery of parting answers: it needs the answers of at least two variants to the whole test set."
    predictions = np.stack(list(answered.values()))
    everywhere = (predictions != NOT_ANSWERED).all(axis=0)
    parting = np.flatnonzero(everywhere & (predictions != predictions[0]).any(axis=0))
    if test_set is None or not _is_the_one(test_set, results, answered):
        return (
            f"The variants part on {len(parting):,} of {int(everywhere.sum()):,} images; their pictures are not shown "
            f"because the test set that was sent ({results.dataset.images:,} images of {results.dataset.name}) was not "
            "given: add `--test-set models/<model>/testset.npz`."
        )
    labels = results.model.labels
    images = []
    for index in parting[:MOST_IMAGES]:
        truth = int(test_set.labels[index])
        answers = [
            Answer(name, labels[int(given[index])], None, int(given[index]) == truth)
            for name, given in answered.items()
        ]
        picture = png_data_uri(np.asarray(test_set.images[index]).ravel(), results.model.item_shape)
        images.append(GalleryImage(int(index), labels[truth], picture, answers))
    return _figure(images, len(parting), int(everywhere.sum()), source)


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


def _is_the_one(test_set: TestSet, results: Results, answered: dict[str, NDArray[np.uint16]]) -> bool:
    """Whether the labels of ``test_set`` give back the accuracy that was recorded."""
    scenario = results.scenario("accuracy")
    if scenario is None or any(len(given) != len(test_set) for given in answered.values()):
        return False
    recorded = {name: result.accuracy for name, result in scenario.variants.items() if result.accuracy is not None}
    return all(
        int((given == test_set.labels).sum()) == recorded[name].correct
        for name, given in answered.items()
        if name in recorded and recorded[name].coverage >= 1
    )


def _figure(images: list[GalleryImage], count: int, total: int, source: str) -> Figure:
    share = percent(count / total if total else 0.0)
    summary = f"The answers differ on {count:,} of {total:,} images ({share})."
    if count == 0:
        summary = f"The answers are the same on all {total:,} images."
    shown = f" Shown are the first {len(images)}." if count > len(images) else ""
    return Figure(_TITLE, Gallery(images, count, summary), summary + shown, source=source)
