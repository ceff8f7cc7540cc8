"""Where the figures of a report come from: file, machine, versions, and the command that repeats them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twinserve_loadtest.report.document import Provenance
from twinserve_loadtest.report.numbers import percent, significant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twinserve_loadtest.record.measurement import Record
    from twinserve_loadtest.record.stamp import Stamp
    from twinserve_loadtest.report.inputs import Inputs

_GIB = 1024**3


def provenance(inputs: Inputs) -> list[Provenance]:
    """One entry a file, comparisons first."""
    entries = [
        Provenance(
            source.name,
            source.sha256,
            _kind(record),
            record.created,
            record.command,
            _facts(record),
        )
        for source, record in inputs.records
    ]
    entries += [
        Provenance(
            source.name,
            source.sha256,
            "the artefacts in one process",
            "",
            f"twinserve models bench --threads {bench.threads} --repeats {bench.repeats} --json {source.name}",
            {"Threads": f"{bench.threads}", "Built and measured with": _pairs(bench.runtime)},
        )
        for source, bench in inputs.benches
    ]
    return entries


def _kind(record: Record) -> str:
    found = record.comparison
    return "load test" if found is None else f"comparison of {found.baseline} and {found.candidate}"


def machine_line(stamp: Stamp) -> str:
    """The machine in a few words: "Intel Xeon, 2 cores, amx_int8+avx512_vnni"."""
    strongest = next((name for name in stamp.isa.split("+")[1:]), "")
    return ", ".join(part for part in (stamp.cpu_model, _cores(stamp), strongest.replace("_", " ").upper()) if part)


def _facts(record: Record) -> dict[str, str]:
    stamp = record.stamp
    facts = {
        "CPU": stamp.cpu_model,
        "GPU": "; ".join(stamp.gpus),
        "Instruction set": stamp.isa or "not recorded",
        "Cores": _cores(stamp),
        "Memory": f"{significant(stamp.memory_bytes / _GIB)} GB" if stamp.memory_bytes else "",
        "Kernel": stamp.kernel,
        "CPU time stolen": percent(stamp.steal_share, 1) if stamp.steal_share is not None else "not reported",
        "Energy": stamp.energy,
        "Load average at the end": significant(stamp.load_average) if stamp.load_average is not None else "",
        "Python": stamp.python,
        "Packages": _pairs(stamp.packages),
        "Artefacts built with": _pairs(stamp.runtime),
        "Quantised engine": _pairs({name: engine for name, engine in stamp.engines.items() if engine}),
        "Artefacts (SHA-256)": _pairs({name: text[:16] for name, text in stamp.artefacts.items()}),
        "Server": _pairs(stamp.server),
        "Target": record.target,
        "Settings": _pairs({name: value for name, value in record.settings.items() if value is not None}),
    }
    return {label: text for label, text in facts.items() if text}


def _cores(stamp: Stamp) -> str:
    cores, limit = stamp.cores_by_affinity, stamp.cores_by_cgroup
    if not cores:
        return ""
    text = f"{cores} core{'s' if cores != 1 else ''}"
    return f"{text} (limited to {limit:g})" if limit and limit < cores else text


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in values.items())


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return f"({_pairs(value)})"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
