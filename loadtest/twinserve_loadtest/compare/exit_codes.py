"""The exit codes of ``twinserve compare``, for pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from twinserve_loadtest.record.comparison import VerdictOutcome

EXIT_CODES: Final[dict[VerdictOutcome, int]] = {"SHIP": 0, "DO NOT SHIP": 1, "NOT ENOUGH EVIDENCE": 2}
#: No verdict at all: wrong usage, or the comparison failed. A pipeline must not mistake it for the third outcome.
NO_VERDICT: Final = 3
