"""Blocks: bounded pieces of load, planned and measured, and the units of them that may be exchanged."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field

from twinserve_loadtest.record.spread import ServerShare
from twinserve_loadtest.record.terms import Phase, Role, Scenario
from twinserve_loadtest.record.wire import Classes, Histogram, Table

BLOCKS_PER_UNIT = 4


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """What one block does. Blocks of a pair differ in ``role`` alone."""

    scenario: str
    #: How requests are sent.
    traffic: Scenario
    phase: Phase
    role: Role
    #: Number of the pair inside the phase; -1 outside pairs (warm-up, pilot).
    pair: int
    #: Index of the first test image; further ones follow in order, starting over at the end.
    first_image: int
    requests: int
    images_per_request: int
    #: Offered requests a second of the open loop; None elsewhere.
    rate: float | None
    #: Seeds the arrival times of the open loop.
    seed: int
    #: Threads that a forward pass may use, on the crossover map.
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Block:
    """A short run of one variant: what was planned, and what it came to."""

    arm: str
    plan: BlockPlan
    seconds: float
    requests: int
    images: int
    errors: int
    #: Client-side latency of answered requests, microseconds; open loop: from the intended send.
    histogram: Histogram
    #: Seconds from the start of the experiment.
    started_s: float = 0.0
    #: CPU seconds of the variant's model processes; None: not reported by the server.
    cpu_seconds: float | None = None
    #: Likewise of the gateways.
    gateway_cpu_seconds: float | None = None
    #: Of the whole machine, generator included; None: not known.
    joules: float | None = None
    mean_batch_size: float | None = None
    #: Summed over the answered requests: "queue", ..., "server_total", "client_total".
    stage_seconds: dict[str, float] = field(default_factory=dict)
    lateness_p99_us: float | None = None
    generator_cpu_share: float | None = None
    #: By the address of the server.
    servers: dict[str, ServerShare] = field(default_factory=dict)
    steal_share: float | None = None
    #: Why the block is excluded from the figures; empty: it counts.
    invalid: str = ""
    #: Accuracy blocks only, and not in the file: class answered for each image, NOT_ANSWERED where there is none.
    predictions: Annotated[Classes | None, Field(exclude=True)] = None
    #: Likewise: FP32, images x classes.
    probabilities: Annotated[Table | None, Field(exclude=True)] = None
    #: Likewise: the folder with the output tensors of a model without classes.
    outputs: Annotated[Path | None, Field(exclude=True)] = None

    @property
    def unit(self) -> int:
        """The unit (A B B A) that the block belongs to."""
        return self.plan.pair // 2


def whole_units(blocks: list[Block], scenario: str, phase: Phase) -> dict[int, dict[Role, list[Block]]]:
    """The complete units whose four blocks are all valid: unit number -> role -> its two blocks.

    A pair that lost one side says nothing, and only whole units may be exchanged for each other.
    """
    units: dict[int, dict[Role, list[Block]]] = defaultdict(lambda: {"baseline": [], "candidate": []})
    for block in blocks:
        if block.plan.scenario == scenario and block.plan.phase == phase and not block.invalid:
            units[block.unit][block.plan.role].append(block)
    return {
        number: roles
        for number, roles in sorted(units.items())
        if sum(len(found) for found in roles.values()) == BLOCKS_PER_UNIT
    }
