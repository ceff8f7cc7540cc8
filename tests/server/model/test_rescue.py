"""When a batch fails, only what makes it fail gets an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from support.odd_artefacts import CLASSES, saved, script, write_model
from twinserve_server.artefact.manifest import read_manifest
from twinserve_server.model import rescue
from twinserve_server.model.forward import Forward

POISON = 2.0


class Recorder:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.passes: list[int] = []
        self.failed: list[tuple[int, int, int]] = []

    def on_batch(self, images: int, preprocess_ns: int, inference_ns: int, postprocess_ns: int) -> None:
        self.passes.append(images)

    def on_failed_batch(self, rescued: int, poisoned: int, not_run: int) -> None:
        self.failed.append((rescued, poisoned, not_run))


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Forward]:
    def load(body: str) -> Forward:
        version = read_manifest(write_model(tmp_path, saved(script(body))) / "odd" / "1")
        return Forward(version, version.variants["fp32"], 1, 16)

    return load


RAISES = "if bool((x[:, 5] > 1.5).any()):\n    raise ValueError('poison')\nreturn torch.softmax(x[:, :3] * 5, 1)"
NAN = "return torch.softmax(torch.where(x[:, 5:] > 1.5, x[:, :3] / 0.0 * 0.0, x[:, :3] * 5), 1)"
#: One item that is not finite makes the whole batch so.
SPREADS = (
    "return torch.softmax(x[:, :3] * 5 + torch.where(x[:, 5] > 1.5, x[:, 5] * float('nan'), x[:, 5] * 0).sum(), 1)"
)


def batch(*poisoned: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    rows = np.random.default_rng(3).random((8, 6), np.float32)
    rows[list(poisoned), 5] = POISON
    return rows


@pytest.mark.parametrize("body", [RAISES, NAN, SPREADS])
@pytest.mark.parametrize("poisoned", [(3,), (0, 7), tuple(range(8))])
def test_only_the_poisoned_get_an_error(load: Callable[[str], Forward], body: str, poisoned: tuple[int, ...]) -> None:
    forward, recorder, rows = load(body), Recorder(), batch(*poisoned)
    outcome = rescue.run_batch(forward, recorder, rows.tobytes(), "FP32", 8)
    assert tuple(outcome.errors) == poisoned
    assert all(("poison" if body is RAISES else "NaN") in message for message in outcome.errors.values())
    good = [row for row in range(8) if row not in poisoned]
    expected = np.exp(rows[:, :3] * 5) / np.exp(rows[:, :3] * 5).sum(1, keepdims=True)
    found = np.frombuffer(outcome.probabilities, np.float32).reshape(8, CLASSES)
    assert np.allclose(found[good], expected[good], atol=1e-5)
    classes = np.frombuffer(outcome.classes, np.uint32)
    assert classes[good].tolist() == expected[good].argmax(1).tolist()
    ((rescued, failed, not_run),) = recorder.failed
    assert (failed, not_run) == (len(poisoned), 0)
    # Rows that were right beside one that is not finite need no rescue.
    assert rescued == (0 if body is NAN else len(good))


def test_a_single_image_is_not_run_twice(load: Callable[[str], Forward]) -> None:
    forward, recorder = load(RAISES), Recorder()
    outcome = rescue.run_batch(forward, recorder, batch(0)[:1].tobytes(), "FP32", 1)
    assert list(outcome.errors) == [0]
    assert (recorder.passes, recorder.failed) == ([], [(0, 1, 0)])


def test_the_rescue_ends_when_its_time_is_up(load: Callable[[str], Forward], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rescue, "RESCUE_SECONDS", -1.0)
    recorder = Recorder()
    outcome = rescue.run_batch(load(RAISES), recorder, batch(2).tobytes(), "FP32", 8)
    assert recorder.failed == [(0, 0, 8)]
    assert all("there was no time left to run it alone" in message for message in outcome.errors.values())
