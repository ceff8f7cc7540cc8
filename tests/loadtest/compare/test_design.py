"""Blocks, pairs and units: what is equal between the arms, and what is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from twinserve_loadtest.compare.design import ScenarioPlan, unit_blocks
from twinserve_loadtest.compare.sizing import Sizes, plan_scenarios
from twinserve_loadtest.record.blocks import BlockPlan
from twinserve_loadtest.record.terms import Phase

PLAN = ScenarioPlan("open", "open", (0.5, 0.99), 0.5, requests=300, rate=400.0)


def groups(items: Sequence[BlockPlan], size: int) -> Iterator[Sequence[BlockPlan]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def blocks(units: int, seed: int = 1, phase: Phase = "main") -> list[BlockPlan]:
    return [block for unit in range(units) for block in unit_blocks(PLAN, phase, unit, seed=seed, images=10_000)]


def test_the_blocks_of_a_pair_differ_in_the_role_alone() -> None:
    for first, second in groups(blocks(20), 2):
        assert {first.role, second.role} == {"baseline", "candidate"}
        assert (first.first_image, first.requests, first.rate, first.seed) == (
            second.first_image,
            second.requests,
            second.rate,
            second.seed,
        )


def test_units_run_a_b_b_a_or_b_a_a_b_so_that_a_linear_drift_cancels() -> None:
    for unit in groups(blocks(20), 4):
        signs = np.array([1 if block.role == "baseline" else -1 for block in unit])
        assert signs.sum() == 0
        assert signs @ np.arange(4) == 0


def test_the_coin_falls_both_ways_and_the_seed_decides() -> None:
    orders = ["".join(block.role[0] for block in unit) for unit in groups(blocks(60), 4)]
    assert set(orders) == {"bccb", "cbbc"}
    assert 15 <= orders.count("bccb") <= 45
    assert blocks(10, seed=7) == blocks(10, seed=7)
    assert blocks(10, seed=7) != blocks(10, seed=8)


def test_every_pair_has_its_own_arrivals_and_images_go_on_where_the_last_pair_ended() -> None:
    pairs = [first for first, _ in groups(blocks(20), 2)]
    assert len({pair.seed for pair in pairs}) == len(pairs)
    assert [pair.first_image for pair in pairs[:4]] == [0, 300, 600, 900]
    assert all(0 <= pair.first_image < 10_000 for pair in blocks(100))


def test_the_control_has_a_coin_and_arrivals_of_its_own() -> None:
    assert {block.seed for block in blocks(10)}.isdisjoint(block.seed for block in blocks(10, phase="control"))


def test_blocks_are_sized_for_the_slower_arm() -> None:
    single, server, offline = plan_scenarios({"a": 2e-3, "b": 1e-3}, {"a": 1e-4, "b": 5e-5}, Sizes())
    assert single.requests == round(0.2 / 2e-3)
    assert server.rate == 250.0
    assert server.requests == round(0.8 * 250)
    assert offline.images_per_block * 1e-4 == pytest.approx(0.2, rel=0.1)


def test_a_rate_that_the_user_gave_is_kept() -> None:
    assert plan_scenarios({"a": 1e-3}, {"a": 1e-4}, Sizes(), rate=123.0)[1].rate == 123.0


def test_twenty_pairs_carry_p99_however_slow_the_model() -> None:
    single, server, _ = plan_scenarios({"a": 0.5}, {"a": 0.1}, Sizes())
    assert 20 * single.requests >= 662
    assert 20 * server.requests >= 662
