"""How far the answers of a model without classes lie from what the test set expects, in a load test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from twinserve_loadtest.generate.kept import read_kept
from twinserve_loadtest.record.measurement import NOT_ANSWERED
from twinserve_loadtest.record.run import Quality
from twinserve_loadtest.statistics.quality import MetricError, losses, mean_interval

if TYPE_CHECKING:
    from pathlib import Path

    from twinserve_loadtest.generate.recorder import Tally
    from twinserve_loadtest.statistics.quality import QualityTest


@dataclass(frozen=True, slots=True)
class QualityCheck:
    """What the answers are held against, and the folder where they lie meanwhile, by variant."""

    test: QualityTest
    folder: Path

    def of(self, variant: str, tally: Tally) -> tuple[Quality | None, str]:
        """The mean loss of a variant's answers to the test set, or why there is none."""
        answered = tally.predictions != NOT_ANSWERED
        kept = read_kept(self.folder / variant)
        if int(answered.sum()) < 2 or not kept:
            return None, "too few answers, or of shapes that differ from item to item"
        try:
            found = losses(
                self.test.function,
                {name: array[answered] for name, array in kept.items()},
                {name: array[answered] for name, array in self.test.targets.items()},
            )
        except MetricError as error:
            return None, str(error)
        coverage = float(answered.mean())
        return Quality(self.test.metric, len(found), coverage, mean_interval(found)), ""
