"""How far the answers of a model without classes lie from their targets, and how two variants differ in that.

A *loss* is 0 where an answer is its target, and greater the farther away it is. Means of losses have Student's
interval, which rests on the central limit theorem: with many items it holds whatever the losses' distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy import stats

from twinserve_host.functions import import_function, is_function_name
from twinserve_loadtest.record.run import Interval

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Losses = NDArray[np.float64]
    Arrays = Mapping[str, NDArray[Any]]
    #: A user's own metric: answers and targets by output, items x shape each; one loss per item.
    LossFunction = Callable[[Arrays, Arrays], Any]

#: The key in the targets for labels, which are class numbers instead of an output.
LABELS: Final = "labels"
#: Items whose losses are computed at once: the file of answers may be larger than memory.
CHUNK: Final = 512


@dataclass(frozen=True, slots=True)
class QualityTest:
    """The targets that answers are compared with.

    Attributes:
        metric: as the manifest names it.
        function: the metric, or its name where it is a known one.
        targets: by output, or class numbers as ``labels``; empty: nothing is expected.
    """

    metric: str
    function: str | LossFunction
    targets: Arrays

    @classmethod
    def of(cls, metric: str, targets: Arrays) -> QualityTest:
        """Raises:
        FunctionError: the metric is a function of the user's, and cannot be had.
        """
        return cls(metric, import_function(metric) if is_function_name(metric) else metric, targets)


class MetricError(Exception):
    """A loss cannot be found; the message says why."""


def losses(metric: str | LossFunction, answers: Arrays, targets: Arrays) -> Losses:
    """One loss an item.

    Args:
        metric: mse, max_abs, cosine or top1, or a function of the user's.
        answers: by output, items x shape.
        targets: likewise, for some or all of the outputs; top1 also takes ``labels``: class numbers, items x positions.

    Raises:
        MetricError: shapes differ, or the user's function fails or returns something else.
    """
    count = len(next(iter(targets.values())))
    parts = []
    for start in range(0, count, CHUNK):
        part = slice(start, start + CHUNK)
        given = {name: array[part] for name, array in answers.items()}
        wanted = {name: array[part] for name, array in targets.items()}
        parts.append(_own(metric, given, wanted) if callable(metric) else _known(metric, given, wanted))
    return np.concatenate(parts)


def mean_interval(values: Losses, confidence: float = 0.95) -> Interval:
    """The mean with Student's interval; of a single value nothing is known but itself."""
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, -math.inf, math.inf, confidence)
    half = float(values.std(ddof=1)) / math.sqrt(len(values))
    half *= float(stats.t.isf((1 - confidence) / 2, len(values) - 1))
    return Interval(mean, mean - half, mean + half, confidence)


def default_margin(metric: str, targets: Arrays, baseline: float) -> tuple[float, str]:
    """How much greater a candidate's mean loss may be when nobody says, and that in words.

    What it should be depends on the unit of the loss: shares and angles have none; squares and distances are held
    against the spread of the targets; of a user's function nothing is known but the baseline's loss.
    """
    if metric == "top1":
        return 0.005, "half a percentage point"
    if metric == "cosine":
        return 0.01, "of 2, the largest there is"
    if metric in ("mse", "max_abs"):
        variance = _variance(targets)
        return (
            (0.01 * variance, "1 % of the targets' variance")
            if metric == "mse"
            else (
                0.25 * math.sqrt(variance),
                "a quarter of the targets' standard deviation",
            )
        )
    return 0.05 * baseline, "5 % of the baseline's loss"


def _known(metric: str, answers: Arrays, targets: Arrays) -> Losses:
    if metric == "top1":
        return _top1(answers, targets)
    names = [name for name in targets if name != LABELS]
    if not names:
        raise MetricError(f"metric {metric}: needs the expected outputs, the test set holds labels only")
    flat = []
    for side in (answers, targets):
        arrays = [np.asarray(side[name], np.float64) for name in names]
        flat.append(np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1))
    found, wanted = flat
    if found.shape != wanted.shape:
        shapes = ", ".join(f"{name} {list(answers[name].shape[1:])}" for name in names)
        raise MetricError(f"metric {metric}: the answers ({shapes} per item) differ in shape from the targets")
    if metric == "mse":
        return np.asarray(((found - wanted) ** 2).mean(1))
    if metric == "max_abs":
        return np.asarray(np.abs(found - wanted).max(1))
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    same = (found == wanted).all(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = 1 - (found * wanted).sum(1) / norms
    return np.where(norms > 0, np.clip(distance, 0, 2), np.where(same, 0.0, 1.0))


def _top1(answers: Arrays, targets: Arrays) -> Losses:
    name = next(name for name in answers if name in targets or LABELS in targets)
    scores = answers[name]
    if scores.ndim < 2:
        raise MetricError(f"metric top1: output {name} has one number per item; it compares the largest of several")
    found = scores.argmax(-1).reshape(len(scores), -1)
    wanted = targets[LABELS] if LABELS in targets else targets[name].argmax(-1)
    wanted = np.asarray(wanted).reshape(len(scores), -1)
    if found.shape != wanted.shape:
        raise MetricError(f"metric top1: {found.shape[1]} answers per item, but {wanted.shape[1]} labels")
    return np.asarray((found != wanted).mean(1), np.float64)


def _own(function: LossFunction, answers: Arrays, targets: Arrays) -> Losses:
    count = len(next(iter(targets.values())))
    try:
        found = np.asarray(function(answers, targets), np.float64)
    except Exception as error:  # a user's function may raise anything
        raise MetricError(f"the metric's function failed ({type(error).__name__}: {error})") from error
    if found.shape != (count,) or not np.isfinite(found).all():
        raise MetricError(
            f"the metric's function returned {list(found.shape)} numbers for {count} items, or some that are "
            "not finite; return one finite loss per item"
        )
    return found


def _variance(targets: Arrays) -> float:
    """Over items and elements, each output held against its own mean."""
    spread = elements = 0.0
    for name, array in targets.items():
        if name != LABELS:
            values = np.asarray(array, np.float64)
            spread += float(((values - values.mean()) ** 2).sum())
            elements += values.size
    return spread / elements if elements else 0.0
