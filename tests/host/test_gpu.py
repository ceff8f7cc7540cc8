"""What the driver tells of GPUs; on a machine without one, nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from twinserve_host.gpu import Gpu, gpus, process_bytes


def test_without_a_driver_there_are_none_and_nothing_is_known_of_them() -> None:
    if not Path("/proc/driver/nvidia").exists():
        assert gpus() == []
    assert process_bytes("no-such-gpu", os.getpid()) is None


def test_a_stamp_says_what_the_driver_told_and_nothing_else() -> None:
    told = Gpu(0, "NVIDIA L4", "a-b", "580.95", 0.5, 31.0, 72.0, 1900, 2040, 6251, 1 << 30, {7: 1 << 20})
    assert str(told) == "NVIDIA L4, driver 580.95, 1900 of 2040 MHz, memory 6251 MHz, 72 W at most"
    untold = Gpu(0, "NVIDIA L4", "", "580.95", None, None, None, None, None, None, None, {})
    assert str(untold) == "NVIDIA L4, driver 580.95"


@pytest.mark.gpu
def test_a_gpu_has_a_name_a_driver_and_a_limit() -> None:
    first = gpus()[0]
    assert first.name != "unknown"
    assert first.driver != "unknown"
    assert first.utilisation is None or 0 <= first.utilisation <= 1
    assert first.watts is None or first.watts > 0
    assert first.used_bytes is None or first.used_bytes > 0
