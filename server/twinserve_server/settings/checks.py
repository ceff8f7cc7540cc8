"""Checks of values that have the right type but may not be possible on this machine."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path


def one_gateway_off_linux(count: int) -> None:
    """Elsewhere SO_REUSEPORT lets several listen, but one of them gets every connection."""
    if count > 1 and sys.platform != "linux":
        raise ValueError(f"{count} gateways can share a port only on Linux, and this is {sys.platform}; give 1")


def possible_replicas(replicas: dict[str, int]) -> None:
    """1 to 64 of each variant."""
    for variant, count in replicas.items():
        if not 1 <= count <= 64:
            raise ValueError(f"{variant}={count}: 1..64 replicas are allowed")


def at_most_all(shares: dict[str, float]) -> None:
    """Shares sum to at most 1."""
    if sum(shares.values()) > 1:
        raise ValueError(f"the shares sum to {sum(shares.values()):g}; at most 1 is allowed")


def usable(pins: dict[str, list[int]]) -> None:
    """Cores that this process may use."""
    if pins and not hasattr(os, "sched_getaffinity"):
        raise ValueError(f"processes can be pinned only on Linux, and this is {sys.platform}")
    for role, cores in pins.items():
        there = os.sched_getaffinity(0)
        if not there.issuperset(cores):
            raise ValueError(
                f"{role}={','.join(map(str, cores))}: the server may use the cores {','.join(map(str, sorted(there)))}"
            )


def opentelemetry_is_installed(exporter: str) -> None:
    """OpenTelemetry is an extra."""
    if exporter != "off" and importlib.util.find_spec("opentelemetry.sdk") is None:
        raise ValueError("OpenTelemetry is not installed: pip install 'twinserve[tracing]'")


def native_is_installed(transport: str) -> None:
    """The native transport is an extra."""
    if transport == "native" and importlib.util.find_spec("pygrpc_native") is None:
        raise ValueError("pygrpc-native is not installed: pip install 'twinserve[native]'")


def model_signing_is_installed(key: Path | None) -> None:
    """What checks signatures is an extra."""
    if key is None:
        return
    if importlib.util.find_spec("model_signing") is None:
        raise ValueError("model-signing is not installed: pip install 'twinserve[signing]'")
    if not key.is_file():
        raise ValueError(f"{key}: does not exist")
