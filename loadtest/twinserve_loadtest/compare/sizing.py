"""How large the blocks are, from a pilot: long enough to carry percentiles, short enough to interleave often.

Short blocks are better: the closer in time the arms' blocks are, the more alike is the noise they share. A
block is just long enough for its overhead to be small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from twinserve_loadtest.compare.design import ScenarioPlan
from twinserve_loadtest.record.percentiles import least_samples

#: Minimum number of pairs behind a figure that a verdict may use.
_DECISION_PAIRS = 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """How long a block of each scenario lasts, seconds, and how hard the open loop presses."""

    single_stream_s: float = 0.2
    server_s: float = 0.8
    offline_s: float = 0.2
    #: Offered rate of the open loop, as a share of what one request in flight reaches on the slower arm.
    server_load: float = 0.5
    images_per_request: int = 64


QUICK_SIZES = Sizes(single_stream_s=0.15, server_s=0.5, offline_s=0.15)


def plan_scenarios(
    request_seconds: dict[str, float], image_seconds: dict[str, float], sizes: Sizes, rate: float | None = None
) -> tuple[ScenarioPlan, ScenarioPlan, ScenarioPlan]:
    """The three questions, sized for the slower arm; both arms then do exactly the same.

    Args:
        request_seconds: by arm, mean seconds of a single-image request with one in flight.
        image_seconds: by arm, seconds an image in batches of ``sizes.images_per_request``.
        sizes: how long blocks last.
        rate: offered requests a second of the open loop; None: ``sizes.server_load`` decides.
    """
    slowest = max(request_seconds.values())
    offered = rate if rate is not None else _rounded(sizes.server_load / slowest)
    # p99 needs 662 samples: the pairs of a run must carry it together.
    least = math.ceil(least_samples(99) / _DECISION_PAIRS)
    batch = sizes.images_per_request
    return (
        ScenarioPlan(
            name="single-stream",
            traffic="single-stream",
            quantiles=(0.5, 0.9, 0.95, 0.99),
            steering_quantile=0.5,
            requests=max(least, round(sizes.single_stream_s / slowest)),
        ),
        ScenarioPlan(
            name="open",
            traffic="open",
            quantiles=(0.5, 0.95, 0.99),
            steering_quantile=0.5,
            requests=max(least, round(sizes.server_s * offered)),
            rate=offered,
        ),
        ScenarioPlan(
            name="offline",
            traffic="offline",
            quantiles=(),
            steering_quantile=None,
            requests=max(4, round(sizes.offline_s / (max(image_seconds.values()) * batch))),
            images_per_request=batch,
        ),
    )


def _rounded(rate: float) -> float:
    """Two significant figures: a rate that a reader can repeat."""
    step = 10.0 ** (math.floor(math.log10(rate)) - 1)
    return max(1.0, round(rate / step) * step)
