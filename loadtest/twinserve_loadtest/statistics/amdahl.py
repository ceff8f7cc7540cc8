"""Why the gain is what it is: where a request's time goes, and the bound that follows.

Source: Amdahl (1967), "Validity of the single processor approach to achieving large scale computing
capabilities", AFIPS Spring Joint Computer Conference, 483-485: when a share f of the time gets s times
faster, the whole gets 1 / (1 - f + f / s) times faster, and never more than 1 / (1 - f).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from twinserve_loadtest.record.comparison import AmdahlBound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twinserve_loadtest.record.run import Stages

#: The stage that a quantised twin makes faster.
INFERENCE = "inference"


def speedup_bound(share: float) -> float:
    """1 / (1 - share): the gain if a stage with this share (0..1) took no time at all."""
    return math.inf if share >= 1 else 1 / (1 - share)


def predicted_speedup(share: float, stage_speedup: float) -> float:
    """1 / (1 - share + share / stage_speedup): the gain when that stage alone gets faster."""
    return 1 / (1 - share + share / stage_speedup)


def amdahl_bound(
    splits: Mapping[str, Stages], baseline: str, candidate: str, observed: float | None
) -> AmdahlBound | None:
    """What the candidate's faster inference can do for a whole request, with one request in flight.

    Args:
        splits: by arm; with one in flight the stages add up to the latency.
        baseline: name of the arm whose shares are the starting point.
        candidate: name of the other.
        observed: the measured speed-up, for comparison.

    Returns:
        None when either arm's stages are not known.
    """
    before, after = splits.get(baseline), splits.get(candidate)
    if before is None or after is None or min(before.seconds[INFERENCE], after.seconds[INFERENCE]) <= 0:
        return None
    share = min(before.share(INFERENCE), 0.999)
    gain = before.seconds[INFERENCE] / after.seconds[INFERENCE]
    bound, predicted = speedup_bound(share), predicted_speedup(share, gain)
    limit = (
        f"With one request in flight, inference is {share:.0%} of a request to {baseline}, so faster inference alone "
        f"can make it at most {bound:.2f}x as fast."
    )
    text = f"{candidate} takes {1 / gain:.2f} times as long for inference, which predicts {predicted:.2f}x"
    if observed is not None:
        text += f"; {observed:.2f}x was measured"
        if observed > bound:
            # A shorter forward pass also leaves caches and cores to the stages around it.
            rest = [split.total_seconds - split.seconds[INFERENCE] for split in (before, after)]
            text += f", because everything else took {rest[1] / rest[0]:.2f} times as long, too"
    return AmdahlBound("single-stream", INFERENCE, share, bound, gain, predicted, observed, f"{text}.", limit)
