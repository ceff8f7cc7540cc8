"""Which blocks a load test runs, in which order.

Variants take turns inside every scenario, first in the given order and then reversed (A B C, C B A), so
that a machine that slows down or speeds up meanwhile does so for all of them. Blocks of the same turn have
the same seed: the same images in the same order and the same arrival times for every variant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from twinserve_loadtest.generate.spec import BlockSpec
from twinserve_loadtest.record.measurement import AT
from twinserve_loadtest.record.terms import Scenario

LoadMode = Literal["standard"] | Scenario
LOAD_MODES: tuple[str, ...] = ("standard", *get_args(Scenario))

STANDARD: tuple[Scenario, ...] = ("accuracy", "single-stream", "open", "offline", "closed")
STANDARD_BLOCK_SECONDS = 2.5
BLOCK_SECONDS = 5.0
TURNS = 2
DEFAULT_USERS = 8


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """What the user asked for.

    Raises:
        ValueError: a value is outside its range; the message names it.
    """

    mode: LoadMode = "standard"
    users: int = DEFAULT_USERS
    """Closed loop: requests in flight."""
    rate: float = 200.0
    """Open loop and mixed: requests per second; step: the first rate."""
    duration: float | None = None
    """Seconds of load per scenario and variant (two blocks of half of it); None: the mode's default."""
    batch: int = 64
    """Images a request in accuracy and offline."""
    seed: int = 1
    p99_limit_ms: float = 20.0
    """Step: a rate counts as sustained while p99 stays at or below this."""

    def __post_init__(self) -> None:
        if self.mode not in LOAD_MODES:
            raise ValueError(f"mode is {self.mode!r}; the modes are {', '.join(LOAD_MODES)}")
        for name, low, high in (
            ("users", 1, 1024),
            ("rate", 0.1, 1e6),
            ("batch", 1, 65536),
            ("p99_limit_ms", 0.01, 6e5),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}: it must lie in {low:g}..{high:g}")
        if self.duration is not None and not 0.2 <= self.duration <= 3600:
            raise ValueError(f"duration is {self.duration}: it must lie in 0.2..3600 seconds")

    @property
    def block_seconds(self) -> float:
        """Length of one block."""
        if self.duration is not None:
            return self.duration / TURNS
        return STANDARD_BLOCK_SECONDS if self.mode == "standard" else BLOCK_SECONDS


def plan_blocks(settings: LoadSettings, variants: list[str], images: int) -> list[BlockSpec]:
    """The blocks of ``settings``, in order; a step test plans its own (:mod:`twinserve_loadtest.loadtest.step`).

    Args:
        settings: What was asked for.
        variants: The variants to test.
        images: Images of the test set.
    """
    modes = STANDARD if settings.mode == "standard" else (settings.mode,)
    blocks: list[BlockSpec] = []
    for mode in modes:
        if mode == "accuracy":
            blocks += [BlockSpec.accuracy(variant, images, batch=settings.batch) for variant in variants]
            continue
        for turn in range(TURNS):
            seed = settings.seed + turn
            if mode == "mixed":
                by_version = any(AT in name for name in variants)
                seconds = settings.block_seconds
                blocks.append(BlockSpec.mixed(settings.rate, seconds=seconds, seed=seed, by_version=by_version))
            elif mode != "step":
                order = variants if turn % 2 == 0 else variants[::-1]
                blocks += [_block(mode, variant, settings, seed) for variant in order]
    return blocks


def _block(mode: str, variant: str, settings: LoadSettings, seed: int) -> BlockSpec:
    seconds = settings.block_seconds
    if mode == "single-stream":
        return BlockSpec.single_stream(variant, seconds=seconds, seed=seed)
    if mode == "closed":
        return BlockSpec.closed(variant, settings.users, seconds=seconds, seed=seed)
    if mode == "open":
        return BlockSpec.open(variant, settings.rate, seconds=seconds, seed=seed)
    return BlockSpec.offline(variant, seconds=seconds, batch=settings.batch, seed=seed)
