"""Run a batch; if it fails, run its images one by one, so that only those that fail get an error."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final, Protocol

from twinserve_server.engine.job import Buffer
from twinserve_server.engine.layout import Form, Layout
from twinserve_server.errors import InferenceError
from twinserve_server.model.forward import Answers, Forward

#: After this long, no further image of a failed batch is run, because other requests wait.
RESCUE_SECONDS: Final = 1.0
#: The error for callers whose rows are not finite.
NOT_FINITE: Final = "the forward pass returned NaN or infinity for this input"


class PassRecorder(Protocol):
    """What is told about forward passes; the metrics implement it."""

    def on_batch(self, images: int, preprocess_ns: int, inference_ns: int, postprocess_ns: int) -> None:
        """One forward pass over ``images``."""

    def on_failed_batch(self, rescued: int, poisoned: int, not_run: int) -> None:
        """A forward pass failed; run alone, so many of its images were answered, failed, or were left out."""


@dataclass(slots=True)
class Outcome:
    """One batch's rows and, by row, what went wrong with those that have no answer.

    Attributes:
        classes: uint32, one an image.
        probabilities: float32, one row an image.
    """

    classes: Buffer
    probabilities: Buffer
    preprocess_ns: int
    inference_ns: int
    postprocess_ns: int
    errors: dict[int, str] = field(default_factory=dict)
    #: Of ``probabilities``, where they are rows of tensors.
    layout: Layout | None = None


def run_batch(forward: Forward, recorder: PassRecorder, data: Buffer, datatype: Form, images: int) -> Outcome:
    """Run ``images`` items of ``datatype``; what goes wrong is told by row."""
    started_ns = time.perf_counter_ns()
    answers = _run(forward, recorder, data, datatype, images)
    if isinstance(answers, str):
        outcome = Outcome(bytearray(4 * images), bytearray(4 * images * forward.classes), 0, 0, 0)
        outcome.errors = dict.fromkeys(range(images), answers)
    else:
        outcome = Outcome(
            answers.classes,
            answers.probabilities,
            answers.preprocess_ns,
            answers.inference_ns,
            answers.postprocess_ns,
            dict.fromkeys(answers.not_finite, NOT_FINITE) if answers.not_finite else {},
            answers.layout,
        )
        if not outcome.errors:
            return outcome
    if images > 1:
        _run_alone(forward, recorder, data, datatype, images, outcome)
        outcome.inference_ns = time.perf_counter_ns() - started_ns
    else:
        recorder.on_failed_batch(0, 1, 0)
    return outcome


def _run_alone(
    forward: Forward, recorder: PassRecorder, data: Buffer, datatype: Form, images: int, outcome: Outcome
) -> None:
    """Run each row that failed in a pass of its own, while there is time."""
    begun = time.monotonic()
    failed = list(outcome.errors)
    item, row = len(data) // images, len(outcome.probabilities) // images
    view, classes, probabilities = memoryview(data), bytearray(outcome.classes), bytearray(outcome.probabilities)
    not_run = 0
    for index in failed:
        if time.monotonic() - begun > RESCUE_SECONDS:
            not_run += 1
            outcome.errors[index] += " (in a batch with others; there was no time left to run it alone)"
            continue
        alone = _run(forward, recorder, view[index * item : (index + 1) * item], datatype, 1)
        if isinstance(alone, str):
            outcome.errors[index] = alone
        elif alone.not_finite:
            outcome.errors[index] = NOT_FINITE
        elif row and alone.layout != outcome.layout:
            outcome.errors[index] = "the answer to this item differs in shape from the rest of its batch; send it alone"
        else:
            if not row:
                # The size of tensors is unknown until a pass has succeeded.
                row, outcome.layout = len(alone.probabilities), alone.layout
                probabilities = bytearray(row * images)
            del outcome.errors[index]
            classes[4 * index : 4 * (index + 1)] = alone.classes
            probabilities[row * index : row * (index + 1)] = alone.probabilities
    outcome.classes, outcome.probabilities = classes, probabilities
    recorder.on_failed_batch(len(failed) - len(outcome.errors), len(outcome.errors) - not_run, not_run)


def _run(forward: Forward, recorder: PassRecorder, data: Buffer, datatype: Form, images: int) -> Answers | str:
    """One forward pass, or what went wrong."""
    try:
        answers = forward(data, datatype, images)
    except InferenceError as error:
        return error.message
    except Exception as error:  # noqa: BLE001  (such as no memory; reported to the caller)
        return f"the forward pass failed: {type(error).__name__}: {error}"
    recorder.on_batch(images, answers.preprocess_ns, answers.inference_ns, answers.postprocess_ns)
    return answers
