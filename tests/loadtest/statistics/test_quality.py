"""Losses by metric, their means, and how much greater one may be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from twinserve_loadtest.statistics.quality import CHUNK, MetricError, QualityTest, default_margin, losses, mean_interval

TARGETS = {"y": np.array([[1.0, 0.0], [0.0, 2.0]])}


@pytest.mark.parametrize(
    ("metric", "answers", "expected"),
    [
        ("mse", [[1, 0], [0, 4]], [0, 2]),
        ("max_abs", [[1, 0.5], [-1, 4]], [0.5, 2]),
        ("cosine", [[2, 0], [1, 0]], [0, 1]),
        ("cosine", [[0, 0], [0, -1]], [1, 2]),
        ("top1", [[9, 1], [3, 2]], [0, 1]),
    ],
)
def test_a_loss_is_zero_where_the_answer_is_its_target(metric: str, answers: Any, expected: list[float]) -> None:
    found = losses(metric, {"y": np.array(answers, np.float32)}, TARGETS)
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_top1_takes_labels_of_items_and_of_positions() -> None:
    scores = {"y": np.eye(3, dtype=np.float32)[[0, 1, 2, 2]].reshape(2, 2, 3)}
    assert losses("top1", scores, {"labels": np.array([[0, 1], [2, 0]])}).tolist() == [0, 0.5]


def test_several_outputs_make_one_loss_and_those_that_are_not_expected_none() -> None:
    answers = {"a": np.zeros((2, 1)), "b": np.ones((2, 3)), "c": np.full((2, 2), 9)}
    assert losses("mse", answers, {"a": np.zeros((2, 1)), "b": np.zeros((2, 3))}).tolist() == [0.75, 0.75]


def test_items_beyond_a_chunk_are_found_in_order() -> None:
    values = np.arange(2 * CHUNK + 3.0)[:, None]
    np.testing.assert_array_equal(losses("max_abs", {"y": values}, {"y": 0 * values}), values[:, 0])


def test_a_function_of_the_users_gives_one_loss_an_item(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "own_metric.py").write_text(
        "def twice(found, wanted):\n    return 2 * abs(found['y'] - wanted['y'])[:, 0]\n"
    )
    monkeypatch.chdir(tmp_path)
    test = QualityTest.of("own_metric:twice", TARGETS)
    assert losses(test.function, {"y": np.zeros((2, 2))}, TARGETS).tolist() == [2, 0]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda *_: 1 / 0, "failed .ZeroDivisionError"),
        (lambda *_: np.zeros(3), r"returned \[3\] numbers for 2 items"),
        (lambda *_: np.full(2, np.nan), "not finite"),
    ],
)
def test_a_function_that_fails_is_said_to(function: Any, words: str) -> None:
    with pytest.raises(MetricError, match=words):
        losses(function, TARGETS, TARGETS)


def test_shapes_that_differ_from_what_is_expected_are_named() -> None:
    with pytest.raises(MetricError, match=r"y \[3\] per item"):
        losses("mse", {"y": np.zeros((2, 3))}, TARGETS)
    with pytest.raises(MetricError, match="holds labels only"):
        losses("mse", {"y": np.zeros((2, 3))}, {"labels": np.zeros(2)})


def test_the_interval_of_a_mean_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    drawn = [mean_interval(random.exponential(1.0, 400)) for _ in range(400)]
    assert 0.91 < np.mean([found.low < 1 < found.high for found in drawn]) < 0.985


def test_what_may_be_lost_follows_the_unit_of_the_metric() -> None:
    targets = {"y": np.array([[0.0], [2.0]])}
    assert default_margin("mse", targets, 9)[0] == pytest.approx(0.01)
    assert default_margin("max_abs", targets, 9)[0] == pytest.approx(0.25)
    assert default_margin("cosine", targets, 9)[0] == 0.01
    assert default_margin("top1", targets, 9)[0] == 0.005
    assert default_margin("own:metric", targets, 9)[0] == pytest.approx(0.45)
