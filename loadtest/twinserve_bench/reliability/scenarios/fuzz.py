"""200,000 mutated messages and files against what reads them: each is taken or refused, nothing is blamed on us."""

from __future__ import annotations

import json
import resource
import tempfile
from pathlib import Path
from typing import Final

from twinserve_bench.reliability.chaos.findings import none
from twinserve_bench.reliability.finding import Finding
from twinserve_bench.reliability.fuzz.readers import fuzz, readers
from twinserve_bench.reliability.run import Bench

SEED: Final = 14
COUNTS: Final = {
    "Predict": 70_000,
    "ModelInfer": 70_000,
    "REST": 40_000,
    "tokens": 13_500,
    "manifest": 3_000,
    "traffic file": 3_000,
    "settings": 500,
}
#: The memory that reading may leave behind, in MiB.
MOST_MIB: Final = 100.0


def run(bench: Bench) -> list[Finding]:
    """In this process, reader by reader; the first faults are printed."""
    manifests = tuple(
        json.dumps({**json.loads(path.read_bytes()), "model": "m", "version": "1"}).encode()
        for path in bench.models.glob("*/*/manifest.json")
    )
    findings = []
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for name, reader in readers(Path(folder), manifests).items():
            found = fuzz(reader, SEED, COUNTS[name])
            for data, said in found.faults[:5]:
                print(f"fuzz: {name}: {said}: {data[:200]!r}", flush=True)
            findings.append(none("fuzz", f"{name}: {COUNTS[name]:,} mutations: faults", len(found.faults)))
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return [*findings, Finding("fuzz", "memory at the most, MiB more", grown, MOST_MIB, False, (grown,))]
