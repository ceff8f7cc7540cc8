"""20 minutes at 70 % of the load that the callers can make; each minute tokens, certificate and traffic policy change.

The slope of memory is told with its 95 % interval, from when the server has warmed up.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scipy import stats

from twinserve_bench.processes import pss_mib
from twinserve_bench.reliability.chaos.callers import Callers, Questions
from twinserve_bench.reliability.chaos.faults import strike
from twinserve_bench.reliability.chaos.findings import CALLERS, SEED, none
from twinserve_bench.reliability.chaos.ledger import Book
from twinserve_bench.reliability.chaos.schedule import Fault, Step
from twinserve_bench.reliability.chaos.victim import Victim
from twinserve_bench.reliability.finding import Finding
from twinserve_bench.reliability.run import Bench

MINUTES: Final = 20
#: Excluded from the slope, while pools and caches fill.
WARM_UP_MINUTES: Final = 5
LOAD: Final = 0.7
PEAK_SECONDS, SAMPLE_SECONDS = 30.0, 10.0
EACH_MINUTE: Final = (Fault.ROTATE_TOKENS, Fault.ROTATE_CERTIFICATES, Fault.CHANGE_TRAFFIC)

_SERVED: Final = ("--variants", "fp32,int8", "--gateways", "2")


@dataclass(frozen=True, slots=True)
class Sample:
    """The server as a whole, so many hours after the start."""

    hours: float
    mib: float
    descriptors: int
    threads: int


def run(bench: Bench) -> list[Finding]:
    """One soak, however many rounds were asked for."""
    book, samples = Book(), list[Sample]()
    with tempfile.TemporaryDirectory() as folder, Victim(bench.models, Path(folder), "fast", *_SERVED) as victim:
        with victim.operator() as client:
            questions = Questions.of(bench.models, client)
        with Callers(victim, questions, book, CALLERS, SEED, None) as callers:
            before = book.ledger.answered
            time.sleep(PEAK_SECONDS)
            peak = (book.ledger.answered - before) / PEAK_SECONDS
            callers.pace_seconds = CALLERS / (LOAD * peak)
            print(f"soak: {peak:.0f} calls a second at most, {LOAD * peak:.0f} from now on", flush=True)
            began = time.monotonic()
            for minute in range(MINUTES):
                for fault in EACH_MINUTE:
                    strike(Step(fault, 37 * minute, 0), victim, callers)
                while time.monotonic() < began + 60 * (minute + 1):
                    time.sleep(SAMPLE_SECONDS)
                    samples.append(_sample(victim, (time.monotonic() - began) / 3600))
                print(f"soak: minute {minute + 1}: {samples[-1]}", flush=True)
    print("\n".join(book.ledger.rows()), flush=True)
    return _findings(book, [sample for sample in samples if sample.hours > WARM_UP_MINUTES / 60])


def _sample(victim: Victim, hours: float) -> Sample:
    descriptors = threads = 0
    for pid in victim.pids():
        with contextlib.suppress(OSError):
            descriptors += len(list(Path(f"/proc/{pid}/fd").iterdir()))
            threads += len(list(Path(f"/proc/{pid}/task").iterdir()))
    return Sample(hours, pss_mib(victim.process.pid), descriptors, threads)


def _findings(book: Book, samples: list[Sample]) -> list[Finding]:
    slope = stats.linregress([sample.hours for sample in samples], [sample.mib for sample in samples])
    half = float(stats.t.ppf(0.975, len(samples) - 2)) * slope.stderr
    print(f"soak: memory {slope.slope:+.1f} MiB an hour, 95 % interval {slope.slope - half:+.1f} to "
          f"{slope.slope + half:+.1f}", flush=True)  # fmt: skip
    third = len(samples) // 3

    def grown(what: str, values: list[int]) -> Finding:
        more = statistics.median(values[-third:]) - statistics.median(values[:third])
        return Finding("soak", f"more {what} in the last third than in the first", more, 2, False, (more,))

    ledger = book.ledger
    return [
        none("soak", "errors", ledger.lost.total() + ledger.refused.total() + ledger.open + ledger.wrong),
        Finding("soak", "memory, MiB an hour: low end of the interval", slope.slope - half, 0, False, (slope.slope,)),
        grown("descriptors", [sample.descriptors for sample in samples]),
        grown("threads", [sample.threads for sample in samples]),
    ]
