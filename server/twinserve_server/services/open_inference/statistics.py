"""``ModelStatistics``: the supervisor's counts, in the structure that Open Inference clients expect."""

from __future__ import annotations

from collections.abc import Iterable

from twinserve.inference import open_inference_pb2 as pb
from twinserve_server.engine.served import ServedModel
from twinserve_server.ipc.messages import Total, VariantStatistics


def model_statistics(
    name: str, served: ServedModel, variant: str, counted: Iterable[VariantStatistics]
) -> pb.ModelStatistics:
    """One entry: of a variant, or, where ``variant`` is empty, the sum over all variants of the model."""
    version = served.version
    entry = pb.ModelStatistics(name=name, version=version.version)
    # Present even if nothing was counted: clients read them unconditionally.
    entry.inference_stats.SetInParent()
    sizes: dict[int, pb.InferBatchStatistics] = {}
    for found in counted:
        if (found.model, found.version) != (version.model, version.version) or variant not in ("", found.variant):
            continue
        entry.last_inference = max(entry.last_inference, found.last_inference_ms)
        entry.inference_count += found.images
        entry.execution_count += found.batches
        totals = entry.inference_stats
        _add(totals.success, found.success)
        _add(totals.fail, found.fail)
        _add(totals.queue, found.queue)
        _add(totals.compute_input, found.preprocess)
        _add(totals.compute_infer, found.inference)
        _add(totals.compute_output, found.postprocess)
        for size, batches in found.by_size.items():
            by_size = sizes.setdefault(size, pb.InferBatchStatistics(batch_size=size))
            _add(by_size.compute_input, Total(batches.batches, batches.preprocess_ns))
            _add(by_size.compute_infer, Total(batches.batches, batches.inference_ns))
            _add(by_size.compute_output, Total(batches.batches, batches.postprocess_ns))
    entry.batch_stats.extend(sizes[size] for size in sorted(sizes))
    return entry


def _add(duration: pb.StatisticDuration, total: Total) -> None:
    duration.count += total.count
    duration.ns += total.ns
