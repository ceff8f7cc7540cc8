"""What a load test lacks: requests that were lost, images without an answer, blocks that were not run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from twinserve_loadtest.generate.recorder import OK
from twinserve_loadtest.generate.spec import ROUTED
from twinserve_loadtest.record.run import Remark
from twinserve_loadtest.record.terms import SECTIONS, TITLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from twinserve_loadtest.generate.record import BlockRecord
    from twinserve_loadtest.generate.spec import BlockSpec
    from twinserve_loadtest.record.terms import Scenario

REFUSED = "RESOURCE_EXHAUSTED"
"""A server that pushes back under load answers as it should: a result, not a loss."""


def missing_of(records: Mapping[Scenario, Iterable[BlockRecord]], not_run: Iterable[BlockSpec]) -> list[Remark]:
    """One remark for everything that the record lacks; empty when it is complete."""
    missing = []
    for mode, group in records.items():
        lost: Counter[tuple[str, str]] = Counter()
        for record in group:
            for variant, tally in record.tallies.items():
                lost.update({(variant, code): n for code, n in tally.codes.items() if code not in (OK, REFUSED)})
                if mode == "accuracy" and tally.coverage < 1:
                    answered = round(tally.coverage * tally.images_in_set)
                    text = f"{answered:,} of {tally.images_in_set:,} test images were answered ({tally.coverage:.1%})"
                    missing.append(_remark("coverage", mode, variant, text))
        missing += [
            _remark("lost", mode, variant, f"{count:,} request{'s were' if count > 1 else ' was'} lost ({code})")
            for (variant, code), count in lost.items()
        ]
    blocks = Counter((spec.mode, spec.variant or ROUTED) for spec in not_run)
    missing += [
        _remark("not_run", mode, variant, f"{count} block{'s were' if count > 1 else ' was'} not run")
        for (mode, variant), count in blocks.items()
    ]
    return missing


def _remark(code: str, mode: str, variant: str, text: str) -> Remark:
    return Remark(code, f"{TITLES[mode]}, {variant}: {text}.", SECTIONS[mode])
