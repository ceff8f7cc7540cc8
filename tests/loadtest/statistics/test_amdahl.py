"""Why the gain is what it is: the bound, and what is said when more was measured than it allows."""

from __future__ import annotations

import pytest

from twinserve_loadtest.record.comparison import AmdahlBound
from twinserve_loadtest.record.run import Stages
from twinserve_loadtest.statistics.amdahl import amdahl_bound


def split(inference: float, other: float) -> Stages:
    """A request of two stages, in seconds."""
    return Stages({"inference": inference, "client": other}, inference + other, 1000)


def bound(observed: float | None) -> AmdahlBound:
    """Of a request that is half inference, which becomes four times as fast; all else takes 0.8 of the time."""
    found = amdahl_bound({"fp32": split(1.0, 1.0), "int8": split(0.25, 0.8)}, "fp32", "int8", observed)
    assert found is not None
    return found


def test_half_a_request_bounds_the_gain_at_two() -> None:
    assert bound(None).bound == pytest.approx(2.0)
    assert bound(None).predicted == pytest.approx(1.6)
    assert bound(1.5).text.endswith("which predicts 1.60x; 1.50x was measured.")


def test_a_gain_beyond_the_bound_is_explained_by_the_rest_of_the_request() -> None:
    assert bound(2.2).text.endswith("2.20x was measured, because everything else took 0.80 times as long, too.")
