"""Every caveat that applies to a comparison, found by rule and said in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.record.findings import Remark

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from twinserve_loadtest.compare.measurements import Settings
    from twinserve_loadtest.record.findings import AccuracyResult, ScenarioResult, SloResult
    from twinserve_loadtest.record.stamp import Stamp

_STEAL_LIMIT = 0.02
_SMALL_TEST_SET = 1000
#: Mean batch sizes that differ by more than this factor make the arms do different work.
_BATCH_FACTOR = 1.2


def caveats(
    settings: Settings,
    stamp: Stamp,
    dataset: Mapping[str, object],
    scenarios: Sequence[ScenarioResult],
    accuracy: AccuracyResult | None,
    slo: SloResult | None,
    *,
    same_machine: bool,
) -> list[Remark]:
    """All that a reader must know before using the figures."""
    return [
        *_about_run(settings, stamp, same_machine),
        *_about_images(settings, dataset, accuracy),
        *(remark for run in scenarios for remark in _about_scenario(run)),
        *_about_rates(slo),
    ]


def _about_run(settings: Settings, stamp: Stamp, same_machine: bool) -> Iterator[Remark]:
    yield Remark("isa", f"The verdict holds on {stamp.isa} alone; another instruction set may reverse it.")
    if settings.quick:
        yield Remark("quick", "Quick run of about a minute: not decision-grade.")
    if settings.baseline == settings.candidate:
        yield Remark("same_variant", f"{settings.baseline} was compared with itself: differences are the machine's.")
    if same_machine:
        yield Remark("same_machine", "Generator and server shared one machine and its cores.")
    if stamp.steal_share is not None and stamp.steal_share > _STEAL_LIMIT:
        yield Remark("steal", f"The hypervisor took {stamp.steal_share:.1%} of the CPU time while measuring.")
    made_on = stamp.runtime.get("isa", "")
    if made_on and not _compatible(made_on, stamp.isa):
        yield Remark(
            "made_on_other_isa",
            f"The artefacts were made on {made_on}; the verdict is of {stamp.isa}, where it was measured.",
        )
    if len(set(stamp.engines.values()) - {"none", ""}) > 1:
        engines = ", ".join(f"{name}: {engine}" for name, engine in stamp.engines.items())
        yield Remark("engines", f"The variants use different quantised engines ({engines}).")


def _about_images(
    settings: Settings, dataset: Mapping[str, object], accuracy: AccuracyResult | None
) -> Iterator[Remark]:
    if dataset.get("full") is False:
        name = dataset.get("name", "the data set")
        yield Remark("subset", f"A subset of {name}: accuracy is not comparable with figures for the full set.")
    if settings.images < _SMALL_TEST_SET:
        yield Remark("small_test_set", f"Only {settings.images:,} test images: small losses of accuracy go unseen.")
    if accuracy is not None:
        for arm, count in accuracy.unanswered.items():
            if count:
                yield Remark(
                    "unanswered", f"{arm} left {count:,} test images unanswered; they are in no accuracy figure."
                )


def _about_scenario(run: ScenarioResult) -> Iterator[Remark]:
    for reason in run.invalid:
        yield Remark("invalid", f"{run.name}: not valid: {reason}.")
    for effect in run.control:
        if effect.claim in ("better", "worse") and effect.interval is not None:
            found = effect.interval
            yield Remark(
                "control_differs",
                f"{run.name}, {effect.metric}: the A/A control found a difference between equal arms "
                f"({found.low:.3f} to {found.high:.3f}); the noise floor is raised to cover it.",
            )
    for arm, result in run.arms.items():
        if result.errors:
            yield Remark(
                "errors",
                f"{run.name}: {result.errors:,} of {result.requests:,} requests to {arm} failed and have no latency.",
            )
    sizes = [result.mean_batch_size for result in run.arms.values() if result.mean_batch_size]
    if len(sizes) == 2 and max(sizes) > _BATCH_FACTOR * min(sizes):
        told = ", ".join(f"{arm} {result.mean_batch_size:.1f}" for arm, result in run.arms.items())
        yield Remark("batch_sizes", f"{run.name}: dynamic batching reached different batch sizes ({told} images).")
    for effect in run.effects:
        if effect.note:
            yield Remark("withheld", f"{run.name}, {effect.metric}: {effect.note}.")
    if run.stopped == "interrupted":
        yield Remark("interrupted", f"{run.name}: measuring was interrupted after {run.pairs} pairs.")


def _about_rates(slo: SloResult | None) -> Iterator[Remark]:
    if slo is not None and slo.generator_bound:
        yield Remark(
            "generator_bound",
            "At some rates the generator, not the server, was the limit: those points say nothing of it.",
        )
    if slo is not None and slo.effect is not None and slo.effect.note:
        yield Remark("withheld", f"Rate within the objective: {slo.effect.note}.")


def _compatible(made_on: str, here: str) -> bool:
    """The manifest names one instruction set ("AVX512"), the stamp a list: does the list hold it?"""
    plain = made_on.lower().replace("_", "").replace("-", "")
    return plain in here.lower().replace("_", "")
