"""Merged block records → the figures of the results file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twinserve_loadtest.generate.recorder import OK
from twinserve_loadtest.generate.validity import judge
from twinserve_loadtest.record.load_results import Accuracy, Latency, Stages, VariantResult
from twinserve_loadtest.record.percentiles import read_percentiles

if TYPE_CHECKING:
    from twinserve_loadtest.generate.record import BlockRecord
    from twinserve_loadtest.generate.recorder import Tally


def variant_result(record: BlockRecord, variant: str, classes: int, *, same_machine: bool = True) -> VariantResult:
    """What ``variant`` answered in ``record``.

    Args:
        record: The merged blocks of one scenario.
        variant: One of ``record.tallies``.
        classes: The number of classes of the model.
        same_machine: Whether the server runs on the generator's machine.
    """
    tally = record.tallies[variant]
    answered = tally.codes[OK]
    seconds = record.seconds
    return VariantResult(
        variant=variant,
        requests=tally.requests,
        failures=tally.failures,
        images=tally.images,
        seconds=seconds,
        images_per_second=tally.images / seconds if seconds else 0.0,
        requests_per_second=answered / seconds if seconds else 0.0,
        latency=latency(tally),
        stages=stages(tally),
        accuracy=accuracy(tally, classes),
        batch_sizes=dict(sorted(tally.batch_sizes.items())),
        generator=judge(record, same_machine=same_machine),
        blocks=record.blocks,
        warm_up_requests=record.warm_ups,
    )


def latency(tally: Tally) -> Latency:
    """The latency of answered requests, with the percentiles that the sample carries."""
    known, withheld = read_percentiles(tally.histogram)
    count = tally.histogram.get_total_count()
    return Latency(
        histogram=tally.histogram.encode().decode("ascii"),
        count=count,
        mean_us=tally.latency_sum_us / count if count else None,
        min_us=tally.latency_min_us,
        p50_us=known.get("p50"),
        p90_us=known.get("p90"),
        p95_us=known.get("p95"),
        p99_us=known.get("p99"),
        p999_us=known.get("p99.9"),
        max_us=tally.latency_max_us,
        withheld=withheld,
    )


def stages(tally: Tally) -> Stages | None:
    """Means over answered requests; None when there is none."""
    answered = tally.codes[OK]
    if not answered:
        return None
    mean_us: dict[str, Any] = {stage: total * 1e6 / answered for stage, total in tally.stage_seconds.items()}
    server_total = mean_us.pop("total")
    return Stages(
        **{f"{stage}_us": value for stage, value in mean_us.items()},
        server_total_us=server_total,
        client_total_us=tally.latency_sum_us / answered,
    )


def accuracy(tally: Tally, classes: int) -> Accuracy | None:
    """Answers against labels; None when nothing was answered."""
    if not tally.images:
        return None
    side = max(classes, 1 + max(max(pair) for pair in tally.confusion))
    confusion = [[0] * side for _ in range(side)]
    for (label, predicted), count in tally.confusion.items():
        confusion[label][predicted] = count
    return Accuracy(tally.correct, tally.images, tally.coverage, confusion)
