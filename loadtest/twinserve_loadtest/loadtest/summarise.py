"""Merged block records → the figures of a record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.generate.recorder import OK
from twinserve_loadtest.generate.validity import judge
from twinserve_loadtest.record.confusion import confusions
from twinserve_loadtest.record.percentiles import read_percentiles
from twinserve_loadtest.record.run import Answers, Arm, Latency, Stages
from twinserve_loadtest.record.wire import encode_classes
from twinserve_loadtest.statistics.paired import wilson_interval

if TYPE_CHECKING:
    from twinserve_loadtest.generate.record import BlockRecord
    from twinserve_loadtest.generate.recorder import Tally


def summarise(record: BlockRecord, variant: str, classes: int, *, same_machine: bool = True) -> Arm:
    """What ``variant`` answered in ``record``.

    Args:
        record: The merged blocks of one scenario.
        variant: One of ``record.tallies``.
        classes: The number of classes of the model.
        same_machine: Whether the server runs on the generator's machine.
    """
    tally = record.tallies[variant]
    answered = tally.codes[OK]
    sums = {**tally.stage_seconds, "client_total": tally.latency_sum_us / 1e6}
    sums["server_total"] = sums.pop("total")
    images = tally.images + record.warm_ups * record.spec.batch
    return Arm(
        cpu_seconds_per_1000_images=_per_1000(record.cpu_seconds, images),
        gateway_cpu_seconds_per_1000_images=_per_1000(record.gateway_cpu_seconds, images),
        joules_per_1000_images=_per_1000(record.joules, images),
        requests=tally.requests,
        failed=tally.requests - answered,
        images=tally.images,
        seconds=record.seconds,
        images_per_second=tally.images / record.seconds if record.seconds else 0.0,
        latency=latency(tally),
        failures=tally.failures,
        mean_batch_size=sum(size * count for size, count in tally.batch_sizes.items()) / answered if answered else None,
        batch_sizes=dict(sorted(tally.batch_sizes.items())),
        stages=Stages.of_sums(sums, answered),
        answers=answers(tally, classes, whole=record.spec.mode == "accuracy"),
        generator=judge(record, same_machine=same_machine),
        blocks=record.blocks,
        warm_up_requests=record.warm_ups,
        servers=tally.servers,
    )


def _per_1000(amount: float | None, images: int) -> float | None:
    return 1000 * amount / images if amount is not None and images else None


def latency(tally: Tally) -> Latency:
    """The latency of answered requests, with the percentiles that the sample carries."""
    count = tally.histogram.get_total_count()
    return Latency(
        histogram=tally.histogram,
        count=count,
        percentiles_us=read_percentiles(tally.histogram),
        mean_us=tally.latency_sum_us / count if count else None,
        min_us=tally.latency_min_us,
        max_us=tally.latency_max_us,
    )


def answers(tally: Tally, classes: int, *, whole: bool = False) -> Answers | None:
    """Answers against labels; None when nothing was answered.

    Args:
        tally: What was counted.
        classes: The number of classes of the model; 0: it returns tensors.
        whole: Whether every test image was sent, so that the answer to each is of interest.
    """
    if not tally.images or not classes:
        return None
    matrix, confused = confusions(tally.confusion, classes)
    predictions = encode_classes(tally.predictions) if whole else ""
    share = wilson_interval(tally.correct, tally.images)
    return Answers(tally.correct, tally.images, tally.coverage, share, matrix, predictions, confused)
