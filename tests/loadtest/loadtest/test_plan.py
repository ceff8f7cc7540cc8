"""Variants take turns, under the same conditions."""

from __future__ import annotations

import itertools

import pytest

from twinserve_loadtest.generate.spec import BlockSpec
from twinserve_loadtest.loadtest.plan import STANDARD, LoadSettings, plan_blocks

VARIANTS = ["fp32", "int8", "int8-dynamic"]


def test_the_standard_test_asks_every_question_of_every_variant() -> None:
    blocks = plan_blocks(LoadSettings(), VARIANTS, images=10_000)
    asked = {(block.mode, block.variant) for block in blocks}
    assert asked == set(itertools.product(STANDARD, VARIANTS))


def test_the_standard_test_takes_less_than_a_minute_and_a_half_of_load() -> None:
    blocks = plan_blocks(LoadSettings(), VARIANTS, images=10_000)
    assert sum(block.seconds or 0 for block in blocks) <= 70


def test_the_order_of_the_variants_is_turned_round_every_other_time() -> None:
    blocks = plan_blocks(LoadSettings(mode="closed"), VARIANTS, images=100)
    assert [block.variant for block in blocks] == VARIANTS + VARIANTS[::-1]


@pytest.mark.parametrize("mode", ["single-stream", "closed", "open", "offline"])
def test_the_variants_of_a_turn_meet_the_same_images_and_arrivals(mode: str) -> None:
    blocks = plan_blocks(LoadSettings(mode=mode), VARIANTS, images=100)  # type: ignore[arg-type]
    assert [block.seed for block in blocks] == [1, 1, 1, 2, 2, 2]
    assert len({(block.users, block.batch, block.seconds, block.rate, block.warm_up) for block in blocks}) == 1


def test_accuracy_sends_each_image_once_to_each_variant() -> None:
    blocks = plan_blocks(LoadSettings(mode="accuracy", batch=64), VARIANTS, images=1000)
    assert [(block.variant, block.requests) for block in blocks] == [(variant, 16) for variant in VARIANTS]


def test_mixed_leaves_the_choice_to_the_router() -> None:
    blocks = plan_blocks(LoadSettings(mode="mixed"), VARIANTS, images=100)
    assert {block.variant for block in blocks} == {None}


def test_a_duration_is_shared_by_the_turns() -> None:
    blocks = plan_blocks(LoadSettings(mode="open", duration=30), ["int8"], images=100)
    assert [block.seconds for block in blocks] == [15, 15]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"mode": "fast"}, "mode is 'fast'"),
        ({"users": 0}, "users is 0: it must lie in 1..1024"),
        ({"rate": 0}, "rate is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"duration": 0.1}, "duration is 0.1"),
        ({"p99_limit_ms": 0}, "p99_limit_ms is 0"),
    ],
)
def test_a_setting_outside_of_its_range_is_named(changes: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        LoadSettings(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"users": 0}, "users is 0"),
        ({"seconds": None}, "needs an end"),
        ({"seconds": -1}, "seconds is -1"),
        ({"rate": 0}, "rate is 0"),
    ],
)
def test_a_block_that_could_not_be_run_is_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        BlockSpec(**{"mode": "open", "variant": "int8", "users": 1, "seconds": 1.0, **changes})  # type: ignore[arg-type]
