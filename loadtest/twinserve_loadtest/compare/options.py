"""The options of ``twinserve compare`` -> settings and gates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from twinserve_loadtest.compare.gates import Gate, GatesError, default_gates, override, read_gates
from twinserve_loadtest.compare.measurements import ExperimentSettings
from twinserve_loadtest.compare.rate_ladder import Objective

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LEAST_SECONDS = 30.0


class CompareOptionError(Exception):
    """An option cannot be used; the message names it, its value and what is allowed."""


def gates_of(
    path: Path | None,
    *,
    max_accuracy_loss: str | None,
    max_quality_loss: str | None,
    min_speedup: Sequence[str],
    max_memory_ratio: float | None,
    max_size_ratio: float | None,
) -> list[Gate]:
    """The gates of the file, or the built-in ones, with those of the flags in their place.

    Raises:
        CompareOptionError: a key or value that is not allowed.
    """
    flags: dict[str, object] = {}
    if max_accuracy_loss is not None:
        flags["max_accuracy_loss"] = max_accuracy_loss
    if max_quality_loss is not None:
        flags["max_quality_loss"] = _number_or_text(max_quality_loss)
    if max_memory_ratio is not None:
        flags["max_memory_ratio"] = max_memory_ratio
    if max_size_ratio is not None:
        flags["max_size_ratio"] = max_size_ratio
    speedups: dict[str, object] = {}
    for text in min_speedup:
        name, _, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            raise CompareOptionError(
                f"--min-speedup {text!r}: FIGURE=NUMBER is expected, for example --min-speedup p99=1.2"
            ) from None
        _put(speedups, name.split("."), value)
    if speedups:
        flags["min_speedup"] = speedups
    try:
        gates = read_gates(path) if path is not None else default_gates()
        return override(gates, flags, "flags")
    except GatesError as error:
        raise CompareOptionError(str(error)) from None


def settings_of(
    baseline: str,
    candidate: str,
    *,
    quick: bool,
    precision: float,
    seconds: float | None,
    rate: float | None,
    seed: int,
) -> ExperimentSettings:
    """What the experiment is asked for; the number of images is set once the test set is read.

    Raises:
        CompareOptionError: a number out of its range.
    """
    if not 0 < precision < 100:
        raise CompareOptionError(f"--precision is {precision:g}; give a percentage above 0 and below 100")
    if seconds is not None and seconds < _LEAST_SECONDS:
        raise CompareOptionError(f"--time is {seconds:g}: at least {_LEAST_SECONDS:g} seconds are needed")
    if rate is not None and rate <= 0:
        raise CompareOptionError(f"--rate is {rate:g}: it must be above 0")
    if seed < 0:
        raise CompareOptionError(f"--seed is {seed}: it must not be negative")
    plain = ExperimentSettings.quickly(baseline, candidate, 0) if quick else ExperimentSettings(baseline, candidate, 0)
    settings = replace(plain, precision=precision / 100, rate=rate, seed=seed)
    return settings if seconds is None else replace(settings, seconds=seconds)


def objective_of(limit_ms: float) -> Objective:
    """The service-level objective: p99 within ``limit_ms``.

    Raises:
        CompareOptionError: the limit is not above 0.
    """
    if not limit_ms > 0:
        raise CompareOptionError(f"--slo-ms is {limit_ms:g}: it must be above 0")
    return Objective(limit_ms=limit_ms)


def _number_or_text(text: str) -> float | str:
    """A loss, or a share as it is written, ``5%``."""
    try:
        return float(text)
    except ValueError:
        return text


def _put(tree: dict[str, object], path: Sequence[str], value: float) -> None:
    """``p99`` or ``single_stream.p50`` as TOML would nest it."""
    head, *rest = path
    if not rest:
        tree[head] = value
        return
    branch = tree.setdefault(head, {})
    if isinstance(branch, dict):
        _put(branch, rest, value)
