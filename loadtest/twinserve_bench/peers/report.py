"""The result of ``make bench-peers`` as markdown: machine, table, targets. Also for a kept file:

python -m twinserve_bench.peers.report bench-results/peers-20260101T120000.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from twinserve_bench.processes import busy_warning
from twinserve_bench.table import Figures, Target, targets_table

#: Python servers that answer each request separately, or batch in Python.
PYTHON_PEERS = ("kserve", "mlserver", "bentoml", "ray", "litserve")
#: As many INT8 model processes as Triton has instances.
REPLICATED = "twinserve-fast-2-replicas"
OURS = ("twinserve-aio", "twinserve-fast", REPLICATED, "twinserve-native", "twinserve-edge", "no-op")
#: Compared with the best peer, and with each Python server.
AIMS = {"twinserve-aio": (1.1, 5.0), "twinserve-fast": (2.0, 10.0)}
RATES = ("1 in flight, requests/s", "16 in flight, requests/s", "64 in flight, requests/s", "batch-64, images/s")


def markdown(result: dict[str, Any]) -> str:
    """Everything that a reader needs to judge the figures."""
    figures = Figures()
    figures.values.update(result["figures"])
    parts = [_stamp(result), _table(result, figures), _memory(result), targets_table(targets(figures))]
    for name, errors in result.get("crashes", {}).items():
        parts.append(f"{name} failed {len(errors)} times and was started again: {errors[0].splitlines()[0]}")
    if result["failed"]:
        parts.append(
            "\n".join(f"Not measured: {name}: {why.splitlines()[0]}" for name, why in result["failed"].items())
        )
    return "\n\n".join(filter(None, parts))


def targets(figures: Figures) -> list[Target]:
    """Ratios within a round; systems that were not measured leave "not measured"."""
    peers = sorted({label.split(":")[0] for label in figures.values} - set(OURS))
    rows = []
    for ours, (best_aim, each_aim) in AIMS.items():
        for what in ("16 in flight, requests/s", "64 in flight, requests/s"):
            best = _best(figures, peers, what)
            ratios = figures.ratio(f"{ours}: {what}", f"{best}: {what}")
            rows.append(Target(f"{ours}, {what} / best peer ({best})", best_aim, True, ratios))
        for peer in PYTHON_PEERS:
            what = "64 in flight, requests/s"
            ratios = figures.ratio(f"{ours}: {what}", f"{peer}: {what}")
            rows.append(Target(f"{ours}, {what} / {peer}", each_aim, True, ratios))
        what = "1 in flight, p50 µs"
        rows.append(Target(f"{ours}, {what} / triton", 0.8, False, figures.ratio(f"{ours}: {what}", f"triton: {what}")))
        what = "batch-64, images/s"
        best = _best(figures, peers, what)
        ratios = figures.ratio(f"{ours}: {what}", f"{best}: {what}")
        rows.append(Target(f"{ours}, {what} / best peer ({best})", 1.0, True, ratios))
    for what in ("64 in flight, requests/s", "batch-64, images/s"):
        ratios = figures.ratio(f"{REPLICATED}: {what}", f"triton: {what}")
        rows.append(Target(f"{REPLICATED}, {what} / triton (2 instances)", 1.0, True, ratios))
    return rows


def _best(figures: Figures, peers: list[str], what: str) -> str:
    measured = [peer for peer in peers if figures.values.get(f"{peer}: {what}")]
    return max(measured, key=lambda peer: figures.median(f"{peer}: {what}"), default="none measured")


def _stamp(result: dict[str, Any]) -> str:
    stamp, loads = result["stamp"], result["load_averages"]
    rounds = f"{result['rounds']} rounds"
    if (done := result.get("rounds_done", result["rounds"])) < result["rounds"]:
        rounds = f"{done} of {rounds}"
    lines = [
        f"{stamp['cpu_model']} ({stamp['isa']}), cores {result['affinity']}, Linux {stamp['kernel']},"
        f" {stamp['python']}.",
        f"{rounds} of {result['seconds']:g} s a load, systems in turn; server and generator share the"
        " cores, nothing is pinned, one torch thread a process. Median (min to max).",
    ]
    lines.append(busy_warning(loads[0]))
    return "\n".join(lines)


def _table(result: dict[str, Any], figures: Figures) -> str:
    columns = ("system", "configuration", "1 in flight: p50 ms", "1: req/s", "16: req/s", "64: req/s")
    lines = [
        f"| {' | '.join((*columns, 'batch-64: images/s', 'right', 'idle MiB'))} |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, configuration in result["configurations"].items():
        if not figures.values.get(f"{name}: idle MiB"):
            continue
        cells = [f"{figures.median(f'{name}: 1 in flight, p50 µs') / 1000:.2f}"]
        for label in RATES:
            values = figures.values.get(f"{name}: {label}", [])
            middle = figures.median(f"{name}: {label}")
            cells.append(f"{middle:,.0f} ({min(values):,.0f} to {max(values):,.0f})" if values else "")
        cells += [result["right"].get(name, ""), f"{figures.median(f'{name}: idle MiB'):,.0f}"]
        lines.append(f"| {name} | {configuration} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _memory(result: dict[str, Any]) -> str:
    return "\n".join(
        f"{name}, idle PSS in MiB: " + ", ".join(f"{process} {pss:.0f}" for process, (pss, _) in found.items())
        for name, found in result["idle_mib"].items()
    )


if __name__ == "__main__":
    print(markdown(json.loads(Path(sys.argv[1]).read_text())))
