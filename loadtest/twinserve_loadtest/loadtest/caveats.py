"""What a reader must know before using a figure: what is missing, and what limits the rest."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from twinserve_loadtest.generate.recorder import OK
from twinserve_loadtest.generate.spec import ROUTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from twinserve_loadtest.generate.record import BlockRecord
    from twinserve_loadtest.generate.spec import BlockSpec
    from twinserve_loadtest.record.load_results import DatasetInfo, Scenario

REFUSED = "RESOURCE_EXHAUSTED"
"""A server that pushes back under load answers as it should: a result, not a loss."""

FOREIGN_LIMIT = 0.15
"""Of all cores; an idle machine with an idle server uses a few per cent."""


def missing_of(records: Mapping[str, Iterable[BlockRecord]], not_run: Iterable[BlockSpec], stopped: str) -> list[str]:
    """One sentence for everything that the results lack; empty when they are complete."""
    missing = [f"the test ended early: {stopped}"] if stopped else []
    for mode, group in records.items():
        lost: Counter[tuple[str, str]] = Counter()
        for record in group:
            for variant, tally in record.tallies.items():
                lost.update({(variant, code): n for code, n in tally.codes.items() if code not in (OK, REFUSED)})
                if mode == "accuracy" and tally.coverage < 1:
                    answered = round(tally.coverage * tally.images_in_set)
                    missing.append(
                        f"accuracy, {variant}: {answered:,} of {tally.images_in_set:,} test images were answered "
                        f"(coverage {tally.coverage:.1%})"
                    )
        missing += [f"{mode}, {variant}: {count:,} requests lost ({code})" for (variant, code), count in lost.items()]
    blocks = Counter((spec.mode, spec.variant or ROUTED) for spec in not_run)
    missing += [f"{mode}, {variant}: {count} block(s) not run" for (mode, variant), count in blocks.items()]
    return missing


def caveats_of(
    dataset: DatasetInfo, scenarios: Iterable[Scenario], *, same_machine: bool, foreign_share: float | None = None
) -> list[str]:
    """What limits the use of the figures.

    Args:
        dataset: What was sent.
        scenarios: What was measured.
        same_machine: Whether the server runs on the generator's machine.
        foreign_share: Busy share of all cores (0..1) just before or after the load; None: not known.
    """
    caveats = []
    if not dataset.full:
        caveats.append(
            f"small test set: {dataset.images:,} images of {dataset.name} ({dataset.source}), not the full set; "
            "accuracy is not comparable with figures for the full set"
        )
    if same_machine:
        caveats.append("generator and server shared one machine and its cores")
    if foreign_share is not None and foreign_share > FOREIGN_LIMIT:
        caveats.append(
            f"other work kept {foreign_share:.0%} of the machine's cores busy just before or after the load: "
            "every figure holds its disturbance"
        )
    for scenario in scenarios:
        for variant, result in scenario.variants.items():
            caveats += [
                f"{scenario.name}, {variant}: {figure} not valid: {reason}"
                for figure, reasons in result.generator.invalid.items()
                for reason in reasons
            ]
            if result.latency.withheld and scenario.name not in ("accuracy", "offline"):
                held = ", ".join(f"{name} {why}" for name, why in result.latency.withheld.items() if name != "p99.9")
                if held:
                    caveats.append(f"{scenario.name}, {variant}: not stated: {held}")
    caveats += [
        "percentiles of the closed loop are of a saturated service: the faster variant was given more load"
    ] * any(scenario.name == "closed" for scenario in scenarios)
    return caveats
