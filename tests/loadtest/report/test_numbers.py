"""Figures are written one way everywhere."""

from __future__ import annotations

import pytest

from twinserve_loadtest.report import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.43712, "0.437"),
        (1.2349, "1.23"),
        (98.76, "98.8"),
        (12345.6, "12,346"),
        (0.0, "0"),
        (-2.5, f"{numbers.MINUS}2.50"),
        (None, "—"),
        (float("nan"), "—"),
    ],
)
def test_three_significant_digits_and_no_false_ones(value: float | None, text: str) -> None:
    assert numbers.significant(value) == text


def test_sizes_are_of_1024_bytes() -> None:
    assert numbers.kilobytes(4690.61 * 1024) == "4,690.61"
    assert numbers.megabytes(12.3 * 1024 * 1024) == "12.3 MB"


@pytest.mark.parametrize(
    ("share", "text"), [(0.0003, "+0.03 pp"), (-0.01, f"{numbers.MINUS}1.00 pp"), (0.0, "±0.00 pp")]
)
def test_a_difference_of_shares_has_its_sign(share: float, text: str) -> None:
    assert numbers.points(share) == text


def test_a_difference_that_rounds_to_nothing_has_no_sign() -> None:
    assert numbers.points(-0.0000001) == "±0.00 pp"


def test_ratios_and_their_intervals() -> None:
    assert numbers.times(1.8249) == f"1.82{numbers.TIMES}"
    assert numbers.times(24.36) == f"24.4{numbers.TIMES}"
    assert numbers.span(1.7, 1.95) == "1.70 to 1.95"
    assert numbers.span(None, 1.95) == ""
