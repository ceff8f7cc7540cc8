"""Energy as the kernel tells it, read from folders in the shape of sysfs: RAPL's counters, a Jetson's power rails."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from support.server_process import wait_until
from twinserve_loadtest.target.energy import EnergyMeter, energy_meter, used

LIMIT = 262_143_328_850


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder that other users may enter."""
    folder = Path(tempfile.mkdtemp(prefix="twinserve-sys-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def write(root: Path, name: str, value: object) -> Path:
    path = root / "sys/class" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{value}\n")
    return path


def zone(root: Path, folder: str, name: str, microjoules: int, limit: int = LIMIT) -> Path:
    """One counter; the path of its count."""
    write(root, f"powercap/{folder}/name", name)
    write(root, f"powercap/{folder}/max_energy_range_uj", limit)
    return write(root, f"powercap/{folder}/energy_uj", microjoules)


def rail(root: Path, monitor: str, number: int, label: str, millivolts: int, milliamperes: int) -> None:
    write(root, f"hwmon/{monitor}/in{number}_label", label)
    write(root, f"hwmon/{monitor}/in{number}_input", millivolts)
    write(root, f"hwmon/{monitor}/curr{number}_input", milliamperes)


def read_by(meter: EnergyMeter, joules: float) -> bool:
    """Whether the background has read so much by itself."""
    return meter._joules >= joules


@contextmanager
def nobody() -> Iterator[None]:
    """Not root for a while, whom no permission stops."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_packages_and_their_memory_are_added_and_nothing_is_counted_twice(root: Path) -> None:
    counters = {
        name: zone(root, folder, name, 1_000_000)
        for folder, name in {
            "intel-rapl:0": "package-0",
            "intel-rapl:0:0": "core",
            "intel-rapl:0:1": "dram",
            "intel-rapl:1": "package-1",
            "intel-rapl:2": "psys",
            "intel-rapl-mmio:0": "package-0 ",
        }.items()
    }
    meter = energy_meter(here=True, root=root)
    assert meter.source == "RAPL: package-0, dram, package-1"
    before = meter.joules()
    for counter in counters.values():
        counter.write_text("3500000\n")
    assert used(before, meter.joules()) == pytest.approx(3 * 2.5)


def test_a_counter_that_starts_over_goes_on(root: Path) -> None:
    counter = zone(root, "intel-rapl:0", "package-0", LIMIT - 1_000_000)
    meter = energy_meter(here=True, root=root)
    before = meter.joules()
    counter.write_text("2000000")
    assert used(before, meter.joules()) == pytest.approx(3.0)


def test_a_counter_that_starts_over_twice_is_seen_by_reading_it_meanwhile(root: Path) -> None:
    counter = zone(root, "intel-rapl:0", "package-0", 900_000, limit=1_000_000)
    with energy_meter(here=True, root=root) as meter:
        before = meter.joules() or 0.0
        for count, total in ((800_000, 0.9), (700_000, 1.8)):
            swap = counter.with_name("new")
            swap.write_text(str(count))
            swap.replace(counter)  # as a whole: it is read at any moment
            seen = partial(read_by, meter, before + total - 1e-9)
            wait_until(seen, 30)
        assert used(before, meter.joules()) == pytest.approx(1.8)


def test_power_rails_of_a_jetson_are_averaged_over_time(root: Path) -> None:
    write(root, "hwmon/hwmon0/name", "thermal")
    write(root, "hwmon/hwmon1/name", "ina3221")
    rail(root, "hwmon1", 1, "VDD_IN", 5000, 2000)
    rail(root, "hwmon1", 2, "VDD_CPU_GPU_CV", 5000, 900)
    meter = energy_meter(here=True, root=root)
    assert meter.source == "power rails: VDD_IN"
    before = meter.joules()
    threading.Event().wait(0.1)
    joules = used(before, meter.joules())
    assert joules is not None
    assert joules >= 1.0  # 10 W for a tenth of a second and whatever a busy machine adds


def test_a_board_without_a_rail_for_everything_adds_its_rails(root: Path) -> None:
    write(root, "hwmon/hwmon0/name", "ina3221")
    rail(root, "hwmon0", 1, "GPU", 5000, 100)
    rail(root, "hwmon0", 2, "CPU", 5000, 100)
    rail(root, "hwmon0", 3, "NC", 5000, 100)
    assert energy_meter(here=True, root=root).source == "power rails: GPU, CPU"


def test_what_may_not_be_read_is_unknown_and_said(root: Path) -> None:
    counter = zone(root, "intel-rapl:0", "package-0", 1_000_000)
    counter.chmod(0o400 if os.geteuid() == 0 else 0)
    with nobody():
        meter = energy_meter(here=True, root=root)
        assert meter.joules() is None
    assert meter.source == (
        f"unknown: only root may read {counter} (permission denied); run as root, or let a group read it"
    )


def test_counters_that_stand_still_are_unknown_never_zero(root: Path) -> None:
    zone(root, "intel-rapl:0", "package-0", 0)
    assert energy_meter(here=True, root=root).joules() is None
    zone(root, "intel-rapl:0", "package-0", 5)
    meter = energy_meter(here=True, root=root)
    assert used(meter.joules(), meter.joules()) is None


@pytest.mark.parametrize(
    ("here", "why"), [(True, "the kernel reports none"), (False, "a server is on another machine")]
)
def test_a_machine_that_does_not_tell_is_unknown(root: Path, here: bool, why: str) -> None:
    with energy_meter(here=here, root=root) as meter:
        assert meter.joules() is None
    assert meter.source.startswith(f"unknown: {why}")


def test_a_counter_that_goes_away_is_unknown_from_then_on(root: Path) -> None:
    counter = zone(root, "intel-rapl:0", "package-0", 1_000_000)
    meter = energy_meter(here=True, root=root)
    assert meter.joules() is not None
    counter.unlink()
    assert meter.joules() is None
    assert meter.source.startswith("unknown: RAPL: package-0 stopped reporting")
