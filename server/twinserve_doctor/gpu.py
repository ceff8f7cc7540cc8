"""GPUs: whether the machine has one that torch can use. Having none is not a fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twinserve_doctor.finding import Finding


def gpu(torch: dict[str, Any], root: Path = Path("/")) -> Finding:
    """What the driver and torch say.

    Args:
        torch: the facts of the finding on torch.
        root: where ``proc`` lies.
    """
    cards = [
        line.partition(":")[2].strip()
        for path in sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))
        for line in path.read_text("utf-8", errors="replace").splitlines()
        if line.startswith("Model:")
    ]
    usable = list(torch.get("cuda") or [])
    facts = {"cards": cards, "usable_by_torch": usable}
    if usable:
        return Finding("GPU", "ok", f"{', '.join(usable)}, which torch can use", facts=facts)
    if cards:
        advice = "models run on the CPU; for the GPU install a CUDA build of torch that suits the driver"
        return Finding("GPU", "note", f"{', '.join(cards)}, which torch cannot use", advice, facts)
    return Finding("GPU", "ok", "none; models run on the CPU", facts=facts)
