"""What every variant has done since the start, over all processes: the same cells that ``/metrics`` shows."""

from __future__ import annotations

from collections.abc import Iterable

from twinserve_server.ipc.messages import BatchStatistics, Total, VariantStatistics
from twinserve_server.metrics import families
from twinserve_server.metrics.batch_sizes import BatchTotals, read_batches
from twinserve_server.metrics.family import Family
from twinserve_server.metrics.slab import Slab
from twinserve_server.metrics.sums import Values, add_slabs

Key = tuple[str, ...]


def variant_statistics(slabs: Iterable[Slab]) -> list[VariantStatistics]:
    """One entry for every (model, version, variant) that any process has counted for."""
    slabs = list(slabs)
    account = add_slabs({}, slabs)
    batches = read_batches(slabs)
    variants = {labels[:3] for labels in account.get(families.ROUTED.name, {})} | set(batches)
    return [_statistics(account, key, batches.get(key, BatchTotals())) for key in sorted(variants)]


def _statistics(account: dict[str, Values], key: Key, batches: BatchTotals) -> VariantStatistics:
    model, version, variant = key

    def counter(family: Family, *rest: str) -> float:
        return sum(
            cells[0]
            for labels, cells in account.get(family.name, {}).items()
            if labels[:3] == key and labels[3 : 3 + len(rest)] == rest
        )

    def histogram(family: Family, *rest: str) -> Total:
        found = [
            cells
            for labels, cells in account.get(family.name, {}).items()
            if labels[:3] == key and labels[3 : 3 + len(rest)] == rest
        ]
        return Total(int(sum(sum(cells[:-1]) for cells in found)), _ns(sum(cells[-1] for cells in found)))

    requests = {labels: cells[0] for labels, cells in account.get(families.REQUESTS.name, {}).items()}
    failed = sum(count for labels, count in requests.items() if labels[:3] == key and labels[-1] != "OK")
    success = histogram(families.REQUEST_SECONDS)

    def compute(stage: str) -> Total:
        return Total(success.count, _ns(counter(families.REQUEST_STAGE_SECONDS, stage)))

    return VariantStatistics(
        model=model,
        version=version,
        variant=variant,
        last_inference_ms=int(batches.last * 1e3),
        images=int(counter(families.IMAGES)),
        batches=histogram(families.BATCH_IMAGES).count,
        success=success,
        fail=Total(int(failed), _ns(counter(families.REFUSED_SECONDS))),
        queue=histogram(families.STAGE_SECONDS, "queue"),
        preprocess=compute("preprocess"),
        inference=compute("inference"),
        postprocess=compute("postprocess"),
        by_size={
            size: BatchStatistics(totals.batches, totals.preprocess_ns, totals.inference_ns, totals.postprocess_ns)
            for size, totals in sorted(batches.sizes.items())
        },
    )


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
