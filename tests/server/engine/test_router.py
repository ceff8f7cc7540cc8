"""Shares, stickiness, and how few keys move when a weight changes."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from twinserve_server.engine.router import Router, ShadowPolicy, TrafficPolicy
from twinserve_server.errors import InvalidInputError, UnknownModelError

VARIANTS = {"fp32", "int8", "int8-dynamic"}
KEYS = [f"user-{index}" for index in range(20_000)]


def router(weights: dict[str, float], *shadows: ShadowPolicy) -> Router:
    return Router(VARIANTS, TrafficPolicy.checked(VARIANTS, weights, shadows), seed=7)


def test_a_named_variant_answers_whatever_the_weights() -> None:
    assert router({"fp32": 1.0}).route("int8", "") == ("int8", "named")


def test_an_unknown_variant_is_refused_with_the_names_of_those_served() -> None:
    with pytest.raises(UnknownModelError, match=r"'int4' is not served here; served are: fp32, int8, int8-dynamic"):
        router({"fp32": 1.0}).route("int4", "")


def test_unnamed_requests_follow_the_weights() -> None:
    table = router({"fp32": 9, "int8": 1})
    draws = Counter(table.route("", "")[0] for _ in range(20_000))
    # Five standard deviations of a binomial share of 0.1.
    assert math.isclose(draws["int8"] / 20_000, 0.1, abs_tol=5 * math.sqrt(0.09 / 20_000))


def test_keys_follow_the_weights_too() -> None:
    table = router({"fp32": 8, "int8": 2})
    share = sum(table.route("", key) == ("int8", "key") for key in KEYS) / len(KEYS)
    assert math.isclose(share, 0.2, abs_tol=5 * math.sqrt(0.16 / len(KEYS)))


def test_a_key_meets_the_same_variant_in_every_process() -> None:
    policy = TrafficPolicy.checked(VARIANTS, {"fp32": 1, "int8": 1})
    here, there = Router(VARIANTS, policy, seed=1), Router(VARIANTS, policy, seed=2)
    assert [here.route("", key) for key in KEYS[:500]] == [there.route("", key) for key in KEYS[:500]]


def test_from_ten_to_twenty_percent_only_the_keys_move_that_must() -> None:
    table = router({"fp32": 0.9, "int8": 0.1})
    before = [table.route("", key)[0] for key in KEYS]
    table.set_policy(TrafficPolicy.checked(VARIANTS, {"fp32": 0.8, "int8": 0.2}))
    after = [table.route("", key)[0] for key in KEYS]
    moves = Counter((old, new) for old, new in zip(before, after, strict=True) if old != new)
    assert set(moves) == {("fp32", "int8")}
    assert math.isclose(moves["fp32", "int8"] / len(KEYS), 0.1, abs_tol=0.015)


def test_a_third_variant_takes_keys_only_for_itself() -> None:
    table = router({"fp32": 1, "int8": 1})
    before = [table.route("", key)[0] for key in KEYS]
    table.set_policy(TrafficPolicy.checked(VARIANTS, {"fp32": 1, "int8": 1, "int8-dynamic": 1}))
    after = [table.route("", key)[0] for key in KEYS]
    assert {new for old, new in zip(before, after, strict=True) if old != new} == {"int8-dynamic"}


def test_shadows_take_their_share_and_never_shadow_themselves() -> None:
    table = router({"fp32": 1}, ShadowPolicy("int8", 0.25))
    draws = Counter(table.draw_shadow("fp32") for _ in range(20_000))
    assert math.isclose(draws["int8"] / 20_000, 0.25, abs_tol=0.02)
    assert {table.draw_shadow("int8") for _ in range(100)} == {None}


@pytest.mark.parametrize(
    ("weights", "shadows", "message"),
    [
        ({"int4": 1.0}, (), r"traffic.weights\['int4'\]: no such variant; served are: fp32"),
        ({"fp32": -1.0}, (), r"traffic.weights\['fp32'\]: -1.0 is not a weight"),
        ({"fp32": math.nan}, (), r"nan is not a weight"),
        ({"fp32": math.inf}, (), r"traffic.weights\['fp32'\]: inf is not a weight"),
        ({"fp32": 1e308, "int8": 1e308}, (), r"traffic.weights: the sum is inf; give smaller ones"),
        ({"fp32": 0.0}, (), r"at least one variant needs a weight above 0"),
        ({}, (), r"at least one variant"),
        ({"fp32": 1.0}, (ShadowPolicy("int4", 0.1),), r"traffic.shadows\['int4'\]: no such variant"),
        ({"fp32": 1.0}, (ShadowPolicy("int8", 1.5),), r"share: 1.5 is not within 0..1"),
    ],
)
def test_a_wrong_policy_is_refused(weights: dict[str, float], shadows: tuple[ShadowPolicy, ...], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        TrafficPolicy.checked(VARIANTS, weights, shadows)
