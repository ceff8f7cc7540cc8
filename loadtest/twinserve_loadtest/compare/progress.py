"""Progress of ``twinserve compare``: one bar per phase, with the intervals so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console

    from twinserve_loadtest.compare.measurements import Progress as Told
    from twinserve_loadtest.record.run import Effect

#: The effects that a watching user sees.
_WATCHED = {"single-stream": "p50", "open": "p50", "offline": "throughput"}


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
        so_far = "; ".join(f"{effect.scenario} {effect.metric} {_factor(effect)}" for effect in watched)
        detail = f"{told.text}{'; so far: ' if so_far else ''}{so_far}"
        self._progress.update(self._tasks[told.phase], completed=told.fraction, detail=detail)


def _factor(effect: Effect) -> str:
    """ "1.52x (1.48-1.55)"."""
    found = effect.interval
    if found is None:
        return "-"
    if found.low == found.high:
        return f"{found.estimate:.2f}x"
    return f"{found.estimate:.2f}x ({found.low:.2f}-{found.high:.2f})"
