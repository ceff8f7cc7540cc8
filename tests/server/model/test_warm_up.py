"""A loaded artefact has run before anybody asks: every usual batch size, and no more than can be waited for."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from support.tiny_model import CLASSES, classes_of, items
from twinserve_server.artefact.manifest import ModelVersion, read_manifest
from twinserve_server.engine.job import Buffer
from twinserve_server.engine.layout import Form
from twinserve_server.model.forward import Answers, Forward
from twinserve_server.model.warm_up import WarmUp, ranges_of, sizes_to_warm


class Counting(Forward):
    """Counts its passes by datatype and size."""

    def __init__(self, version: ModelVersion, max_batch_size: int, preferred_batch_sizes: tuple[int, ...] = ()) -> None:
        self.passes: Counter[tuple[str, int]] = Counter()
        super().__init__(version, version.variants["fp32"], 1, max_batch_size, preferred_batch_sizes)

    def __call__(self, data: Buffer, datatype: Form, images: int) -> Answers:
        self.passes[str(datatype), images] += 1
        return super().__call__(data, datatype, images)


@pytest.fixture
def version(torchscript_models: Path) -> ModelVersion:
    return read_manifest(torchscript_models / "tiny" / "1")


@pytest.mark.parametrize("limit", [1, 16, 64])
def test_every_size_that_a_usual_batch_may_have_is_warm(version: ModelVersion, limit: int) -> None:
    passes = Counting(version, limit).passes
    assert set(passes) == {(datatype, size) for datatype in ("UINT8", "FP32") for size in range(1, limit + 1)}
    # TorchScript specialises on the second call, too.
    assert min(passes.values()) >= 2


@pytest.mark.parametrize(("limit", "above"), [(65, [65]), (128, [128]), (300, [128, 256, 300])])
def test_above_64_powers_of_two_and_the_limit_are_warm(version: ModelVersion, limit: int, above: list[int]) -> None:
    sizes = sorted({size for _, size in Counting(version, limit).passes})
    assert sizes == [*range(1, 65), *above]


def test_the_sizes_that_batches_are_made_of_on_purpose_are_warm(version: ModelVersion) -> None:
    sizes = sorted({size for _, size in Counting(version, 200, (8, 96, 150, 400)).passes})
    assert sizes == [*range(1, 65), 96, 128, 150, 200]


def test_the_largest_limit_warms_up_in_bounded_time(version: ModelVersion) -> None:
    passes = Counting(version, 4096).passes
    assert passes["UINT8", 4096] >= 2
    assert sum(size * count for (_, size), count in passes.items()) < 16 * 4096


def test_a_size_that_was_not_warmed_is_answered_all_the_same(version: ModelVersion) -> None:
    pixels = items(201)
    answers = Forward(version, version.variants["fp32"], 1, 1024)(pixels.tobytes(), "UINT8", len(pixels))
    assert memoryview(answers.classes).cast("I").tolist() == classes_of(pixels).tolist()
    assert len(answers.probabilities) == 4 * CLASSES * len(pixels)


def test_what_matters_most_is_warm_first() -> None:
    assert sizes_to_warm(100, (24, 48, 400))[:10] == [1, 100, 24, 48, 2, 4, 8, 16, 32, 64]
    assert sizes_to_warm(1) == [1]


def test_a_slow_model_is_warm_when_its_time_is_up_and_says_which_sizes_are_not() -> None:
    ran: list[int] = []

    def run(images: int) -> None:
        ran.append(images)
        time.sleep(0.01 * images)

    began = time.monotonic()
    cold = WarmUp(run, 2, budget_seconds=0.5).warm([1, 16, 8, 64, 2])
    assert ran == [1, 1, 16, 16, 2, 2]
    assert cold == [8, 64]
    # However slow the machine: what was begun fitted by the least that an image has taken.
    assert time.monotonic() - began < 60


def test_a_long_warm_up_says_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    warm_up = WarmUp(
        lambda _: time.sleep(0.02), 1, lambda done, sizes: told.append((done, sizes)), progress_seconds=0.01
    )
    warm_up.warm([1, 2, 3])
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_cold_sizes_are_named_shortly() -> None:
    assert ranges_of([3, 5, 6, 7, 100]) == "3, 5..7, 100"
    assert ranges_of([]) == ""
