"""Requests are split and re-joined without mixing anybody's rows."""

from __future__ import annotations

import numpy as np

from twinserve_server.engine.job import Batch, BatchTiming, Job
from twinserve_server.errors import InferenceError

TIMING = BatchTiming(wait_ns=5, preprocess_ns=1, inference_ns=10, postprocess_ns=2, batch_size=3)


def answer(batch: Batch, first_class: int) -> int:
    """Answers whose class is ``first_class`` and up, and whose two probabilities repeat it."""
    classes = np.arange(first_class, first_class + batch.images, dtype=np.uint32)
    rows = np.repeat(classes.astype(np.float32), 2)
    return batch.answer(memoryview(classes.tobytes()), memoryview(rows.tobytes()), TIMING, 100)


def batch_of(*parts: tuple[Job, int, int]) -> Batch:
    batch = Batch("UINT8")
    for job, start, count in parts:
        batch.parts.append((job, start, count))
        batch.images += count
        job.taken += count
    batch.sent_ns = 50
    return batch


def test_each_job_gets_its_own_rows() -> None:
    done: list[Job] = []
    first, second = Job(b"a", "UINT8", 1, done.extend), Job(b"bc", "UINT8", 2, done.extend)
    answer(batch_of((first, 0, 1), (second, 0, 2)), first_class=7)
    assert done == [first, second]
    assert np.frombuffer(first.classes, np.uint32).tolist() == [7]
    assert np.frombuffer(second.classes, np.uint32).tolist() == [8, 9]
    assert np.frombuffer(second.probabilities, np.float32).tolist() == [8, 8, 9, 9]


def test_parts_of_a_large_job_are_joined_in_order_whichever_comes_first() -> None:
    done: list[Job] = []
    job = Job(bytes(5), "UINT8", 5, done.extend)
    head, tail = batch_of((job, 0, 3)), batch_of((job, 3, 2))
    answer(tail, first_class=3)
    assert done == []
    answer(head, first_class=0)
    assert done == [job]
    assert np.frombuffer(job.classes, np.uint32).tolist() == [0, 1, 2, 3, 4]
    assert np.frombuffer(job.probabilities, np.float32).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_what_the_model_process_did_not_account_for_is_transfer() -> None:
    job = Job(b"a", "UINT8", 1, lambda _: None)
    assert answer(batch_of((job, 0, 1)), 0) == 100 - 50 - (5 + 1 + 10 + 2)
    assert (job.transfer_ns, job.inference_ns, job.queue_ns, job.batch_size) == (32, 10, 5, 3)


def test_a_failed_part_fails_the_job_once() -> None:
    done: list[Job] = []
    job = Job(bytes(4), "UINT8", 4, done.extend)
    head, tail = batch_of((job, 0, 2)), batch_of((job, 2, 2))
    head.fail(InferenceError("poison"))
    answer(tail, 0)
    assert done == [job]
    assert isinstance(job.error, InferenceError)


def test_the_pixels_of_whole_jobs_are_not_copied() -> None:
    pixels = b"abcdef"
    whole, large = Job(pixels, "UINT8", 3, lambda _: None), Job(pixels, "UINT8", 3, lambda _: None)
    first, second = batch_of((whole, 0, 3), (large, 1, 2)).buffers(item_bytes=2)
    assert first is pixels
    assert bytes(second) == b"cdef"
