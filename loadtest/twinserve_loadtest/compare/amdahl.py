"""Why the gain is what it is: where a request's time goes, and the bound that follows.

Source: Amdahl (1967), "Validity of the single processor approach to achieving large scale computing
capabilities", AFIPS Spring Joint Computer Conference, 483-485: when a share f of the time gets s times
faster, the whole gets 1 / (1 - f + f / s) times faster, and never more than 1 / (1 - f).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from twinserve_loadtest.record.findings import AmdahlBound, StageSplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from twinserve_loadtest.compare.block_runner import BlockResult

STAGES = ("queue", "transfer", "preprocess", "inference", "postprocess")
#: The stage that a quantised twin makes faster.
INFERENCE = "inference"


def stage_split(scenario: str, results: Iterable[BlockResult]) -> StageSplit | None:
    """Mean seconds of a request by stage, over valid blocks.

    Beside the server's five stages: ``gateway`` is what the server spent outside them, ``client`` what it did
    not see (SDK, wire).

    Returns:
        None when no block told its stages.
    """
    sums: dict[str, float] = {}
    requests = 0
    for result in results:
        if "client_total" in result.stage_seconds:
            requests += result.requests - result.errors
            for stage, seconds in result.stage_seconds.items():
                sums[stage] = sums.get(stage, 0.0) + seconds
    if requests == 0:
        return None
    total, server = sums["client_total"], sums.get("server_total", 0.0)
    named = {stage: sums.get(stage, 0.0) for stage in STAGES}
    named["gateway"] = max(server - sum(named.values()), 0.0)
    named["client"] = max(total - server, 0.0)
    return StageSplit(
        scenario=scenario,
        seconds={stage: seconds / requests for stage, seconds in named.items()},
        total_seconds=total / requests,
        requests=requests,
    )


def speedup_bound(share: float) -> float:
    """1 / (1 - share): the gain if a stage with this share (0..1) took no time at all."""
    return math.inf if share >= 1 else 1 / (1 - share)


def predicted_speedup(share: float, stage_speedup: float) -> float:
    """1 / (1 - share + share / stage_speedup): the gain when that stage alone gets faster."""
    return 1 / (1 - share + share / stage_speedup)


def amdahl_bound(
    splits: Mapping[str, StageSplit], baseline: str, candidate: str, observed: float | None
) -> AmdahlBound | None:
    """What the candidate's faster inference can do for a whole request.

    Args:
        splits: by arm, of the same scenario.
        baseline: name of the arm whose shares are the starting point.
        candidate: name of the other.
        observed: the measured speed-up of the median, for comparison.

    Returns:
        None when either arm's stages are not known.
    """
    before, after = splits.get(baseline), splits.get(candidate)
    if before is None or after is None or min(before.seconds[INFERENCE], after.seconds[INFERENCE]) <= 0:
        return None
    share = min(before.share(INFERENCE), 0.999)
    gain = before.seconds[INFERENCE] / after.seconds[INFERENCE]
    bound, predicted = speedup_bound(share), predicted_speedup(share, gain)
    text = (
        f"Inference is {share:.0%} of a request to {baseline} ({_scenario(before.scenario)}): "
        f"by that alone {candidate} cannot gain more than {bound:.2f}x here. "
        f"Its inference takes {1 / gain:.2f} of the time, which makes {predicted:.2f}x likely"
    )
    if observed is not None:
        text += f"; {observed:.2f}x was measured"
        if observed > bound:
            # A shorter forward pass also leaves caches and cores to the stages around it.
            rest = [split.total_seconds - split.seconds[INFERENCE] for split in (before, after)]
            text += f": everything else took {rest[1] / rest[0]:.2f} of the time as well"
    text += "."
    return AmdahlBound(before.scenario, INFERENCE, share, bound, gain, predicted, observed, text)


def _scenario(name: str) -> str:
    return {"single_stream": "one in flight", "server": "open loop", "offline": "offline"}.get(name, name)
