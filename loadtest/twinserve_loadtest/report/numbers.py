"""How figures are written in a report: one place, so that page, terminal and picture agree."""

from __future__ import annotations

import math

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EM DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
MEBIBYTE = 1024 * 1024


def significant(value: float | None, digits: int = 3) -> str:
    """``value`` to ``digits`` significant digits, whole from 100 up; a dash for None."""
    if value is None or not math.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    decimals = max(0, digits - 1 - magnitude)
    return _minus(f"{value:,.{decimals}f}")


def milliseconds(microseconds: float | None) -> str:
    """Microseconds as ``0.437 ms``."""
    return DASH if microseconds is None else f"{significant(microseconds / 1000)} ms"


def kilobytes(size: float | None) -> str:
    """Bytes as kilobytes of 1,024 bytes, two decimals, no unit: ``4,690.61``."""
    return DASH if size is None else f"{size / 1024:,.2f}"


def megabytes(size: float | None) -> str:
    """Bytes as ``12.3 MB`` (1,048,576 bytes)."""
    return DASH if size is None else f"{significant(size / MEBIBYTE)} MB"


def percent(share: float | None, decimals: int = 2) -> str:
    """A share (0..1) as ``98.97 %``."""
    return DASH if share is None else f"{100 * share:.{decimals}f} %"


def points(share: float | None, decimals: int = 2) -> str:
    """A difference of shares as ``+0.03 pp`` (percentage points)."""
    if share is None:
        return DASH
    value = round(100 * share, decimals) or 0.0
    sign = "+" if value > 0 else ("" if value < 0 else "±")
    return _minus(f"{sign}{value:.{decimals}f} pp")


def times(ratio: float | None) -> str:
    """A ratio with its sign: 1.82 times."""
    return DASH if ratio is None else f"{ratio_digits(ratio)}{TIMES}"


def ratio_digits(ratio: float) -> str:
    """A ratio to two decimals, one from 10 up."""
    return f"{ratio:,.1f}" if ratio >= 10 else f"{ratio:.2f}"


def span(low: float | None, high: float | None) -> str:
    """The interval of a ratio as ``1.71 to 1.94``; empty when there is none."""
    return "" if low is None or high is None else f"{ratio_digits(low)} to {ratio_digits(high)}"


def loss(value: float | None) -> str:
    """A loss, whatever its size: ``0.0123``, ``4.56e-07``."""
    return DASH if value is None else _minus(f"{value:.3g}")


def loss_change(value: float) -> str:
    """A difference of losses, with its sign."""
    return _minus(f"{value:+.3g}") if value else "±0"


def rate(per_second: float | None) -> str:
    """A rate without its unit: ``12,300``."""
    return significant(per_second)


def seconds(value: float | None) -> str:
    """Seconds, two decimals, no unit: ``5.04``."""
    return DASH if value is None else f"{value:,.2f}"


def probability(p: float) -> str:
    """A p-value: ``p = 0.62``, ``p < 0.0001``."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"


def _minus(text: str) -> str:
    return text.replace("-", MINUS)
