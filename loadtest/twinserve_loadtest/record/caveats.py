"""All caveats of a record, found by rule: the one place where they are worded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.record.percentiles import why_withheld
from twinserve_loadtest.record.run import Remark
from twinserve_loadtest.record.spread import summed
from twinserve_loadtest.record.terms import SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twinserve_loadtest.record.measurement import Record
    from twinserve_loadtest.record.run import Run

_STEAL_LIMIT = 0.02
#: Of all cores; an idle machine with an idle server uses a few per cent.
FOREIGN_LIMIT = 0.15
_SMALL_TEST_SET = 1000
#: Mean batch sizes that differ by more than this factor make the arms do different work.
_BATCH_FACTOR = 1.2


def caveats_of(record: Record) -> list[Remark]:
    """Everything that a reader must know before using the figures."""
    return [
        *_about_comparison(record),
        *_about_images(record),
        *_about_machine(record),
        *_about_servers(record),
        *(remark for run in record.runs.values() for remark in _about_run(run)),
        *_about_rates(record),
    ]


def _about_comparison(record: Record) -> Iterator[Remark]:
    compared = record.comparison
    if compared is None:
        return
    if record.settings.get("quick"):
        yield Remark("quick", "A quick run of about a minute; repeat it without --quick before you decide.")
    if compared.candidate.startswith(f"{compared.baseline} ("):
        text = f"{compared.baseline} was compared with itself: any difference comes from the machine."
        yield Remark("same_variant", text)


def _about_images(record: Record) -> Iterator[Remark]:
    dataset, compared = record.dataset, record.comparison
    if not dataset.full:
        yield Remark(
            "subset",
            f"{dataset.images:,} images of {dataset.name} ({dataset.source}), not the full test set: do not compare "
            "these figures with figures for the full set.",
            "accuracy",
        )
    if dataset.images < _SMALL_TEST_SET:
        what = "quality" if record.model.metric else "accuracy"
        text = f"{dataset.images:,} test images are too few to show a small loss of {what}."
        yield Remark("small_test_set", text, "accuracy")
    reduced = record.model.manifest.get("training", {}).get("reduced")
    if reduced:
        yield Remark(
            "training_reduced",
            f"The models were trained on {reduced['images']:,} of {reduced['of_images']:,} images for "
            f"{reduced['epochs']} of {reduced['of_epochs']} epochs, to finish in time on a slow machine; full training "
            "makes them more accurate.",
            "accuracy",
        )
    if compared is not None and (quality := compared.quality) is not None:
        if quality.against:
            text = (
                "The test set has no expected outputs: quality is the distance from the answers of "
                f"{quality.against}, whether or not those are right."
            )
            yield Remark("fidelity", text, "accuracy")
        for arm, count in quality.unanswered.items():
            if count:
                text = f"{arm} left {count:,} items unanswered; no figure includes them."
                yield Remark("unanswered", text, "accuracy")
    if compared is not None and compared.accuracy is not None:
        for arm, count in compared.accuracy.unanswered.items():
            if count:
                text = f"{arm} left {count:,} test images unanswered; no accuracy figure includes them."
                yield Remark("unanswered", text, "accuracy")


def _about_machine(record: Record) -> Iterator[Remark]:
    stamp = record.stamp
    if record.same_machine:
        yield Remark("same_machine", "The load generator and the server shared one machine and its cores.")
    if record.foreign_cpu_share is not None and record.foreign_cpu_share > FOREIGN_LIMIT:
        yield Remark(
            "disturbed",
            f"Other work kept {record.foreign_cpu_share:.0%} of the machine's cores busy just before or after the "
            "load; it affects every figure.",
        )
    if stamp.steal_share is not None and stamp.steal_share > _STEAL_LIMIT:
        yield Remark("steal", f"The hypervisor took {stamp.steal_share:.1%} of the CPU time during the measurement.")
    made_on = stamp.runtime.get("isa", "")
    if made_on and stamp.isa and not _compatible(made_on, stamp.isa):
        yield Remark(
            "other_isa",
            f"The artefacts were built on {made_on} and measured on {stamp.isa}; the quantised engine was chosen for "
            "the former. For the best figures on this machine, build them again on it.",
        )
    if len(set(stamp.engines.values()) - {"none", ""}) > 1:
        engines = ", ".join(f"{name}: {engine}" for name, engine in stamp.engines.items())
        yield Remark("engines", f"The variants use different quantised engines ({engines}).")
    if stamp.isa:
        yield Remark(
            "isa",
            f"The results hold only for the instruction set they were measured on ({stamp.isa}). On a machine without "
            "the same INT8 instructions they may reverse: measure again there.",
        )


def _about_servers(record: Record) -> Iterator[Remark]:
    """Of several servers, each that failed requests: from then on the load was not that of all of them."""
    if len(record.servers) < 2:
        return
    shares = summed(arm.servers for run in record.runs.values() for arm in run.arms.values())
    for server, share in shares.items():
        if share.failures:
            codes = ", ".join(f"{count:,} {code}" for code, count in share.failures.most_common())
            yield Remark(
                "server_failed",
                f"{server} failed {share.failures.total():,} of the {share.requests:,} requests sent to it ({codes}): "
                f"the figures do not describe {len(record.servers)} working servers.",
            )


def _about_run(run: Run) -> Iterator[Remark]:
    section = SECTIONS[run.scenario]
    for reason in run.invalid:
        yield Remark("invalid", f"{run.title}: not valid: {reason}.", section)
    for arm, result in run.arms.items():
        invalid = result.generator.invalid if result.generator is not None else {}
        for figure, reasons in invalid.items():
            yield Remark("invalid", f"{run.title}, {arm}: {figure} is not valid: {'; '.join(reasons)}.", section)
        if run.blocks and result.failed:
            text = f"{result.failed:,} of {result.requests:,} requests to {arm} failed and have no latency."
            yield Remark("errors", f"{run.title}: {text}", section)
        withheld = {name: why for name, why in why_withheld(result.latency.count).items() if name != "p99.9"}
        if withheld and not run.blocks and run.scenario not in ("accuracy", "offline"):
            text = ", ".join(f"{name} {why}" for name, why in withheld.items())
            yield Remark("withheld", f"{run.title}, {arm}: not reported: {text}.", section)
    for effect in run.control:
        if effect.claim in ("better", "worse") and effect.interval is not None:
            yield Remark(
                "control_differs",
                f"{run.title}, {effect.metric}: the A/A control found a difference between identical arms "
                f"({effect.interval.low:.3f} to {effect.interval.high:.3f}); the noise floor was raised to cover it.",
                "effects",
            )
    sizes = {arm: result.mean_batch_size for arm, result in run.arms.items() if result.mean_batch_size}
    if run.blocks and len(sizes) == 2 and max(sizes.values()) > _BATCH_FACTOR * min(sizes.values()):
        told = ", ".join(f"{arm} {size:.1f}" for arm, size in sizes.items())
        text = f"{run.title}: dynamic batching formed batches of different sizes ({told} images)."
        yield Remark("batch_sizes", text, section)
    for effect in run.effects:
        if effect.note:
            yield Remark("withheld", f"{run.title}, {effect.metric}: {effect.note}.", "effects")
    if run.stopped == "interrupted":
        text = f"{run.title}: the measurement was interrupted after {run.pairs} pairs."
        yield Remark("cut_short", text, section)
    if run.scenario == "closed":
        yield Remark(
            "saturated",
            "Closed-loop percentiles describe a saturated service that gave the faster variant more load.",
            "latency",
        )


def _about_rates(record: Record) -> Iterator[Remark]:
    rates = record.rates
    if rates is None:
        return
    if any(point.generator_bound for point in rates.points):
        text = "At some rates the generator, not the server, was the limit; those points say nothing about the server."
        yield Remark("generator_bound", text, "rate")
    if rates.effect is not None and rates.effect.note:
        yield Remark("withheld", f"Highest rate within the objective: {rates.effect.note}.", "rate")


def invalid_figures(record: Record) -> list[str]:
    """The figures that the server did not set: "latency of int8 (open loop)"."""
    found = [run.title.lower() for run in record.runs.values() if run.invalid]
    for run in record.runs.values():
        for arm, result in run.arms.items():
            figures = result.generator.invalid if result.generator is not None else {}
            found += [f"{figure} of {arm} ({run.title.lower()})" for figure in figures]
    return found


def _compatible(made_on: str, here: str) -> bool:
    """The manifest names one instruction set ("AVX512"), the stamp a list: does the list hold it?"""
    plain = made_on.lower().replace("_", "").replace("-", "")
    return plain in here.lower().replace("_", "")
