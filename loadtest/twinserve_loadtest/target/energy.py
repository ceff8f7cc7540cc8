"""Energy that this machine has used, where its kernel tells: Intel's and AMD's RAPL, or the power rails of a Jetson.

What is told is the machine's and not a process's: generator, gateways and everything else that ran are in it. Figures
of two variants can be compared because only one of them has work at a time.
"""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType

#: Read so often, a counter cannot wrap unseen (65 kJ of an EPYC last for minutes), and power is averaged well enough.
SAMPLE_SECONDS: Final = 0.25
#: Those of a Jetson that measure all that comes in; the other rails are parts of it.
_INPUT_RAILS: Final = frozenset({"VDD_IN", "POM_5V_IN"})


class EnergyError(Exception):
    """Why the energy is not known."""


class Gauge(Protocol):
    """Something whose use of energy can be read."""

    name: str

    def used(self) -> float:
        """Joules since the last call; 0 the first time.

        Raises:
            OSError, ValueError: it does not tell.
        """


class EnergyMeter:
    """Adds up what gauges tell; read in the background while it is entered.

    Args:
        gauges: what is added up.
        source: what they are, or why there is none, as the stamp of a measurement says it.
    """

    def __init__(self, gauges: list[Gauge], source: str) -> None:
        #: What is read (``RAPL: package-0, dram``), or ``unknown: `` and the reason.
        self.source = source
        self._gauges = gauges
        self._joules = 0.0
        self._reading = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="energy", daemon=True)

    def __enter__(self) -> Self:
        if self._gauges:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()

    def joules(self) -> float | None:
        """Joules since the first call; None: not known."""
        with self._reading:
            if not self._gauges:
                return None
            try:
                self._joules += sum(gauge.used() for gauge in self._gauges)
            except (OSError, ValueError) as error:
                # What was used meanwhile is lost, and with it the sum.
                self._gauges = []
                self.source = f"unknown: {self.source} stopped reporting ({error})"
                return None
            return self._joules

    def _sample(self) -> None:
        while not self._end.wait(SAMPLE_SECONDS) and self.joules() is not None:
            pass


def energy_meter(*, here: bool, root: Path = Path("/")) -> EnergyMeter:
    """The meter of this machine.

    Args:
        here: whether all servers that are measured run on it.
        root: where ``sys`` lies.
    """
    if not here:
        return EnergyMeter([], "unknown: a server is on another machine")
    try:
        if zones := _rapl_zones(root):
            return EnergyMeter(list(zones), f"RAPL: {', '.join(zone.name for zone in zones)}")
        if rails := _jetson_rails(root):
            return EnergyMeter(list(rails), f"power rails: {', '.join(rail.name for rail in rails)}")
    except EnergyError as error:
        return EnergyMeter([], f"unknown: {error}")
    return EnergyMeter([], "unknown: the kernel reports none (neither RAPL nor the power rails of a Jetson)")


def used(before: float | None, after: float | None) -> float | None:
    """Joules between two readings; None when one is missing or nothing was counted: no machine runs on nothing."""
    return after - before if before is not None and after is not None and after > before else None


class _Zone:
    """A counter of RAPL: microjoules that start over at a limit."""

    def __init__(self, folder: Path) -> None:
        self.name = (folder / "name").read_text("ascii").strip()
        self._counter = folder / "energy_uj"
        self._limit = int((folder / "max_energy_range_uj").read_text("ascii"))
        self._last: int | None = None

    def now(self) -> int:
        return int(self._counter.read_text("ascii"))

    def used(self) -> float:
        now = self.now()
        last, self._last = self._last, now
        if last is None:
            return 0.0
        return (now - last if now >= last else now - last + self._limit) / 1e6


class _Rail:
    """A power rail: voltage times current now, averaged over time."""

    def __init__(self, name: str, millivolts: Path, milliamperes: Path) -> None:
        self.name = name
        self._millivolts, self._milliamperes = millivolts, milliamperes
        self._last: tuple[float, float] | None = None

    def used(self) -> float:
        watts = int(self._millivolts.read_text("ascii")) * int(self._milliamperes.read_text("ascii")) / 1e6
        now = time.monotonic()
        last, self._last = self._last, (now, watts)
        return 0.0 if last is None else (now - last[0]) * (watts + last[1]) / 2


def _rapl_zones(root: Path) -> list[_Zone]:
    """The processor packages and their memory; cores and graphics are in the package's count.

    Raises:
        EnergyError: they are there, but cannot be read.
    """
    found = []
    for folder in sorted((root / "sys/class/powercap").glob("intel-rapl:*")):
        # intel-rapl-mmio counts the same packages again, psys all of them and more.
        if not re.fullmatch(r"intel-rapl:\d+(:\d+)?", folder.name):
            continue
        try:
            zone = _Zone(folder)
            if not zone.name.startswith(("package", "dram")):
                continue
            if zone.now():  # virtual machines have counters that stay at 0
                found.append(zone)
        except PermissionError as error:
            raise EnergyError(
                f"only root may read {error.filename} (permission denied); run as root, or let a group read it"
            ) from None
        except (OSError, ValueError) as error:
            raise EnergyError(f"{folder} cannot be read ({error})") from None
    return found


def _jetson_rails(root: Path) -> list[_Rail]:
    """What the power monitors (INA3221) of the board measure: all that comes in, or every rail.

    Raises:
        EnergyError: they are there, but cannot be read.
    """
    found = []
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        try:
            if (folder / "name").read_text("ascii").strip() != "ina3221":
                continue
            for label in sorted(folder.glob("in*_label")):
                number = label.name.removeprefix("in").removesuffix("_label")
                volts, amperes = folder / f"in{number}_input", folder / f"curr{number}_input"
                name = label.read_text("ascii").strip()
                if name != "NC" and volts.exists() and amperes.exists():
                    found.append(_Rail(name, volts, amperes))
        except PermissionError as error:
            raise EnergyError(f"{error.filename} may not be read (permission denied); run as root") from None
        except (OSError, ValueError) as error:
            raise EnergyError(f"{folder} cannot be read ({error})") from None
    whole = [rail for rail in found if rail.name in _INPUT_RAILS]
    return whole or found
