"""What ``make bench`` holds the server to: the bare model, a server that does nothing, and its own other figures."""

from __future__ import annotations

from collections.abc import Iterable

from twinserve_bench.table import Figures, Target

#: Requests in flight while a health check is timed, and how long it may take.
HEALTH_IN_FLIGHT = (64, 128)
HEALTH_LIMIT_MS = 50.0


def targets(figures: Figures, arms: Iterable[str]) -> list[Target]:
    """What should hold of each of ``arms``, from the rounds measured."""
    arms = list(arms)
    return [
        *(target for arm in arms for target in _rates(figures, arm)),
        *(_tail(figures, arm) for arm in arms),
        *(_health(figures, arm, in_flight) for arm in arms for in_flight in HEALTH_IN_FLIGHT),
    ]


def _rates(figures: Figures, arm: str) -> list[Target]:
    def ratio(what: str, limit: float, above: str, below: str) -> Target:
        return Target(f"{arm}: {what}", limit, True, figures.ratio(above, below))

    def rate(label: str) -> str:
        return f"{label}: images/s"

    int8, fp32 = f"{arm} int8", f"{arm} fp32"
    best_bare = max((rate(f"bare fp32, batch {size}") for size in (1, 8, 32, 64, 128)), key=figures.median)
    unary, batch = rate(f"{int8}, 64 in flight"), rate(f"{int8} batch-64, 4 in flight")
    return [
        ratio("int8 unary, 64 in flight / no-op grpc.aio", 0.95, unary, rate("noop int8, 64 in flight")),
        ratio("fp32 unary, 64 in flight / bare fp32 at its best batch", 0.70, rate(f"{fp32}, 64 in flight"), best_bare),
        ratio("int8 batch-64 / bare int8 at batch 64", 0.80, batch, rate("bare int8, batch 64")),
        ratio("int8 stream / unary, 64 in flight", 1.5, rate(f"{int8} stream, 64 in flight"), unary),
        ratio("int8 / fp32, batch-64 images/s", 5.0, batch, rate(f"{fp32} batch-64, 4 in flight")),
        ratio(
            "fp32 / int8, p50 with one in flight", 1.5, f"{fp32}, 1 in flight: p50 µs", f"{int8}, 1 in flight: p50 µs"
        ),
    ]


def _tail(figures: Figures, arm: str) -> Target:
    load = f"{arm} int8, Poisson at half its peak"
    ratios = figures.ratio(f"{load}: p99 µs", f"{load}: p50 µs")
    return Target(f"{arm}: int8 p99 / p50, Poisson at half its peak", 4.0, False, ratios)


def _health(figures: Figures, arm: str, in_flight: int) -> Target:
    label = f"{arm}, Health/Check with {in_flight} INT8 in flight"
    times = [value / 1000 for value in figures.values.get(f"{label}: p99 µs", [])]
    return Target(f"{label}: p99 ms", HEALTH_LIMIT_MS, False, times)
