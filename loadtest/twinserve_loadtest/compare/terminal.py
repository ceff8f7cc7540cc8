"""What ``twinserve compare`` shows on the terminal: progress with the interval so far, then the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from types import TracebackType

    from twinserve_loadtest.compare.measurements import Progress as Told
    from twinserve_loadtest.record.comparison import Comparison
    from twinserve_loadtest.record.findings import Effect, GateOutcome

_MARKS: dict[GateOutcome, tuple[str, str]] = {
    "pass": ("pass", "green"),
    "fail": ("FAIL", "red"),
    "undecided": ("open", "yellow"),
}
_COLOURS = {"SHIP": "green", "DO NOT SHIP": "red", "NOT ENOUGH EVIDENCE": "yellow"}
_SCENARIOS = {
    "single_stream": "single stream",
    "server": "server",
    "offline": "offline",
    "slo": "objective",
    "": "cost",
}
_METRICS = {
    "cpu": "CPU s/1k",
    "throughput": "images/s",
    "slo_rate": "requests/s",
    "artefact_bytes": "artefact",
    "parameter_bytes": "weights",
    "added_bytes": "memory",
    "process_pss_bytes": "process",
}
_FINDINGS = {"better": "better", "worse": "worse", "none": "open", "unknown": ""}
#: The effects that a watching user sees.
_WATCHED = {"single_stream": "p50", "server": "p50", "offline": "throughput"}


class CompareProgress:
    """A bar a phase; called with each :class:`~twinserve_loadtest.compare.measurements.Progress`."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[detail]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._last = ""

    def __enter__(self) -> CompareProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, told: Told) -> None:
        """Show it."""
        if told.phase not in self._tasks:
            if self._last:
                self._progress.update(self._tasks[self._last], completed=1.0, detail="")
            self._tasks[told.phase] = self._progress.add_task(told.phase, total=1.0, detail="")
            self._last = told.phase
        watched = [effect for effect in told.effects if _WATCHED.get(effect.scenario) == effect.metric]
        so_far = "; ".join(f"{effect.scenario} {effect.metric} {factor(effect)}" for effect in watched)
        detail = f"{told.text}{'; so far: ' if so_far else ''}{so_far}"
        self._progress.update(self._tasks[told.phase], completed=told.fraction, detail=detail)


def factor(effect: Effect) -> str:
    """ "1.52x (1.48-1.55)"."""
    found = effect.interval
    if found is None:
        return "-"
    if found.low == found.high:
        return f"{found.estimate:.2f}x"
    return f"{found.estimate:.2f}x ({found.low:.2f}-{found.high:.2f})"


def show(comparison: Comparison, console: Console) -> None:
    """Effects, accuracy, why, gates, caveats, verdict."""
    console.print(_effects(comparison))
    accuracy = comparison.accuracy
    if accuracy is not None:
        gap = accuracy.difference
        shares = ", ".join(f"{arm} {100 * share.estimate:.2f} %" for arm, share in accuracy.accuracy.items())
        console.print(
            f"Accuracy on {accuracy.images:,} images: {shares}; difference {100 * gap.estimate:+.2f} pp "
            f"({100 * gap.low:+.2f} to {100 * gap.high:+.2f}), McNemar p = {accuracy.mcnemar_p:.3g}; the variants part "
            f"on {accuracy.disagreement_count:,} images.",
            highlight=False,
            markup=False,
        )
    if comparison.amdahl is not None:
        console.print(comparison.amdahl.text, highlight=False, markup=False)
    for remark in comparison.missing:
        console.print(f"Missing: {remark.text}", style="red", highlight=False, markup=False)
    for remark in comparison.caveats:
        console.print(f"Caveat: {remark.text}", style="yellow", highlight=False, markup=False)
    console.print(_panel(comparison))


def _effects(comparison: Comparison) -> Table:
    table = Table(box=None, padding=(0, 1), title_justify="left")
    table.title = (
        f"{comparison.candidate} against {comparison.baseline}: speed-ups (above 1x is better) and costs (below 1x is "
        "better) with 95 % intervals; noise: what equal arms differed by; open: not enough evidence of a difference"
    )
    for column in ("load", "figure"):
        table.add_column(column)
    for column in (comparison.baseline, comparison.candidate, "ratio", "noise"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for effect in comparison.effects():
        if effect.baseline is None and effect.candidate is None:
            continue
        table.add_row(
            _SCENARIOS.get(effect.scenario, effect.scenario),
            _METRICS.get(effect.metric, effect.metric),
            _value(effect.baseline, effect.unit),
            _value(effect.candidate, effect.unit),
            factor(effect),
            f"{100 * (effect.noise_floor - 1):.1f} %" if effect.noise_floor is not None else "",
            _FINDINGS[effect.claim] if comparison.is_valid(effect) else "not valid",
        )
    return table


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "us":
        return f"{value / 1000:.2f} ms"
    if unit == "bytes":
        return f"{value / 1024:,.0f} KB"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _panel(comparison: Comparison) -> Panel:
    verdict = comparison.verdict
    gates = Table(box=None, show_header=False, padding=(0, 1))
    for gate in verdict.gates:
        mark, colour = _MARKS[gate.outcome]
        gates.add_row(Text(mark, style=f"bold {colour}"), Text(gate.name), Text(gate.reason))
    colour = _COLOURS[verdict.outcome]
    title = verdict.outcome if verdict.decision_grade else f"{verdict.outcome} (not decision-grade)"
    return Panel(Group(Text(verdict.summary), gates), title=f"[bold {colour}]{title}", border_style=colour)
