"""Repeated figures and the table they make."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass, field


@dataclass(slots=True)
class Figures:
    """Every repeat of every figure, by name."""

    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, value: float) -> None:
        """One more repeat of ``name``."""
        self.values[name].append(value)

    def median(self, name: str) -> float:
        """The median over the repeats; NaN when it was not measured."""
        return statistics.median(self.values[name]) if self.values.get(name) else float("nan")

    def ratio(self, above: str, below: str) -> list[float]:
        """The ratio of two figures, repeat by repeat: both stem from the same minute of the same machine."""
        return [a / b for a, b in zip(self.values.get(above, []), self.values.get(below, []), strict=False) if b]


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio that should be reached.

    Attributes:
        what: in words.
        limit: the ratio asked for.
        at_least: whether more is better.
        ratios: what was measured, a repeat each.
    """

    what: str
    limit: float
    at_least: bool
    ratios: list[float]

    @property
    def reached(self) -> bool:
        """Whether the median keeps the limit."""
        if not self.ratios:
            return False
        middle = statistics.median(self.ratios)
        return middle >= self.limit if self.at_least else middle <= self.limit

    def row(self) -> str:
        """One line of the markdown table."""
        if not self.ratios:
            return f"| {self.what} | {self.limit:g} | not measured | |"
        middle, low, high = statistics.median(self.ratios), min(self.ratios), max(self.ratios)
        sign = "≥" if self.at_least else "≤"
        mark = "reached" if self.reached else "**not reached**"
        return f"| {self.what} | {sign} {self.limit:g} | {middle:.2f} ({low:.2f} to {high:.2f}) | {mark} |"


def figures_table(figures: Figures) -> str:
    """Every figure: median and spread."""
    lines = ["| figure | median | min to max |", "|---|---:|---:|"]
    for name, values in figures.values.items():
        lines.append(f"| {name} | {statistics.median(values):,.0f} | {min(values):,.0f} to {max(values):,.0f} |")
    return "\n".join(lines)


def cpu_table(spent: dict[str, dict[str, list[float]]]) -> str:
    """CPU µs a request, by arm and process, every repeat of each; the sum is of medians."""
    roles = sorted({role for found in spent.values() for role in found})
    lines = [f"| CPU µs a request | {' | '.join(roles)} | sum |", "|---|" + "---:|" * (len(roles) + 1)]
    for name, found in spent.items():
        cells = [
            f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})" if values else ""
            for values in (found.get(role, []) for role in roles)
        ]
        total = sum(map(statistics.median, found.values()))
        lines.append(f"| {name} | {' | '.join(cells)} | {total:,.0f} |")
    return "\n".join(lines)


def memory_table(memory: dict[str, dict[str, tuple[float, float]]]) -> str:
    """Idle memory of each arm: PSS and RSS in MiB, in all and by process."""
    lines = ["| idle, both variants | PSS MiB | RSS MiB | PSS by process |", "|---|---:|---:|---|"]
    for name, found in memory.items():
        pss, rss = (sum(kind) for kind in zip(*found.values(), strict=True))
        each = ", ".join(f"{process} {mib:.0f}" for process, (mib, _) in found.items())
        lines.append(f"| {name} | {pss:,.0f} | {rss:,.0f} | {each} |")
    return "\n".join(lines)


def targets_table(targets: list[Target]) -> str:
    """The targets and what was reached."""
    return "\n".join(
        ["| ratio (or as said) | target | measured | |", "|---|---:|---:|---|", *(target.row() for target in targets)]
    )


def profile_table(profile: dict[str, dict[str, float]]) -> str:
    """Where a request's time goes: the shares of each process, and the bound that follows."""
    lines = ["| process | where its time goes | share |", "|---|---|---:|"]
    bounds = []
    for process, found in profile.items():
        for stage, value in found.items():
            if stage.startswith("if "):
                bounds.append(f"{process}: {stage}: {value:.2f} (Amdahl).")
            else:
                lines.append(f"| {process} | {stage} | {value:.1%} |")
    return "\n".join([*lines, "", *bounds])
