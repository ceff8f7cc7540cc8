"""Where the figures of a report come from: file, machine, versions, and the command that repeats them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from twinserve_loadtest.report.document import Provenance
from twinserve_loadtest.report.numbers import percent, significant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from twinserve_loadtest.report.inputs import Inputs

_GIB = 1024**3


def provenance(inputs: Inputs) -> list[Provenance]:
    """One entry a file, comparisons first."""
    entries = [
        Provenance(
            source.name,
            source.sha256,
            f"comparison of {comparison.baseline} and {comparison.candidate}",
            comparison.created,
            comparison.command,
            _facts(
                asdict(comparison.stamp), {"Seeds": _pairs(comparison.seeds), "Settings": _pairs(comparison.settings)}
            ),
        )
        for source, comparison in inputs.comparisons
    ]
    entries += [
        Provenance(
            source.name,
            source.sha256,
            "load test",
            results.created,
            results.command,
            _facts(results.stamp, {"Target": results.target}),
        )
        for source, results in inputs.load_tests
    ]
    entries += [
        Provenance(
            source.name,
            source.sha256,
            "the artefacts in one process",
            "",
            f"twinserve models bench --threads {bench.threads} --repeats {bench.repeats} --json {source.name}",
            {"Threads": f"{bench.threads}", "Made and measured with": _pairs(bench.runtime)},
        )
        for source, bench in inputs.benches
    ]
    return entries


def machine_line(inputs: Inputs) -> str:
    """The machine in a few words: "Intel Xeon, 2 cores, amx_int8+avx512_vnni"."""
    for stamp in _stamps(inputs):
        cpu = str(stamp.get("cpu_model") or "unknown CPU")
        cores = _cores(stamp)
        isa = str(stamp.get("isa") or "")
        strongest = next((name for name in isa.split("+")[1:]), "")
        return ", ".join(part for part in (cpu, cores, strongest.replace("_", " ").upper()) if part)
    return "machine not recorded"


def _stamps(inputs: Inputs) -> Iterator[Mapping[str, Any]]:
    for comparison in inputs.compared:
        yield asdict(comparison.stamp)
    for results in inputs.results:
        if results.stamp:
            yield results.stamp


def _facts(stamp: Mapping[str, Any], more: Mapping[str, str]) -> dict[str, str]:
    memory = stamp.get("memory_bytes")
    load = stamp.get("load_average")
    steal = stamp.get("steal_share")
    facts = {
        "CPU": str(stamp.get("cpu_model") or "not recorded"),
        "Instruction set": str(stamp.get("isa") or "not recorded"),
        "Cores": _cores(stamp),
        "Memory": f"{significant(memory / _GIB)} GB" if memory else "",
        "Kernel": str(stamp.get("kernel") or ""),
        "CPU time stolen": percent(steal, 1) if steal is not None else "not told",
        "Load average at the end": significant(load) if load is not None else "",
        "Python": str(stamp.get("python") or ""),
        "Packages": _pairs(stamp.get("packages") or {}),
        "Artefacts made with": _pairs(stamp.get("runtime") or {}),
        "Quantised engine": _pairs({name: engine for name, engine in (stamp.get("engines") or {}).items() if engine}),
        "Artefacts (SHA-256)": _pairs({name: text[:16] for name, text in (stamp.get("artefacts") or {}).items()}),
        "Server": _pairs(stamp.get("server") or {}),
        **more,
    }
    return {label: text for label, text in facts.items() if text}


def _cores(stamp: Mapping[str, Any]) -> str:
    cores, limit = stamp.get("cores_by_affinity"), stamp.get("cores_by_cgroup")
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
