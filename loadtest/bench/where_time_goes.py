"""Where a request's time goes: py-spy samples of a gateway and of a model process under load, and what follows.

The bound is Amdahl's (1967): if the forward pass, with share f of a process's busy time, cost nothing, that process
could serve 1 / (1 - f) times as much; a gateway runs no forward pass and is bounded by its own work.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

from h2load import drive
from messages import TestSet
from processes import Running, tree

SECONDS = 5
#: The first pattern that matches a frame, from the innermost outwards, names the stage of a sample.
STAGES = (
    ("forward pass", r"forward\.py"),
    ("Unix socket", r"core/link\.py|core/frames\.py"),
    ("encode the answer", r"answer_codec"),
    ("decode and validate", r"tensor_codec|FromString"),
    ("queue and route", r"core/"),
    ("metrics", r"metrics_"),
    ("predict service", r"predict_service"),
    ("gRPC transport", r"transport|grpc|interceptors"),
    ("event loop", r"asyncio|selectors"),
    ("model process loop", r"model_process"),
)


def where_time_goes(server: Running, tests: TestSet) -> dict[str, dict[str, float]]:
    """Shares of busy samples by stage, for one gateway and the model processes, with 64 INT8 requests in flight.

    ``if STAGE were free`` is Amdahl's bound for the largest stage of each process.
    """
    found: dict[str, dict[str, float]] = {}
    for role, wanted in (("gateway", "twinserve_server.gateway"), ("model process", "twinserve_server.model_process")):
        pids = [pid for pid in tree(server.pid) if wanted in Path(f"/proc/{pid}/cmdline").read_text()]
        message = tests.request("int8").SerializeToString()
        load = threading.Thread(target=drive, args=(server.port, message, 64, SECONDS + 2))
        load.start()
        counts: Counter[str] = Counter()
        for pid in pids if role == "model process" else pids[:1]:
            counts += _sample(pid)
        load.join()
        total = sum(counts.values()) or 1
        found[role] = {stage: round(count / total, 3) for stage, count in counts.most_common()}
        if len(counts) > 1:
            stage, count = counts.most_common(1)[0]
            found[role][f"if {stage} were free, times as fast"] = round(1 / (1 - count / total), 2)
    return found


def _sample(pid: int) -> Counter[str]:
    spy = Path(sys.executable).with_name("py-spy")
    command = [str(spy), "record", "-p", str(pid), "-d", str(SECONDS), "-r", "200", "-f", "raw", "-o", "/dev/stdout"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    counts: Counter[str] = Counter()
    for line in done.stdout.splitlines():
        stack, _, count = line.rpartition(" ")
        if not count.isdigit():
            continue
        for frame in reversed(stack.split(";")):
            stage = next((name for name, pattern in STAGES if re.search(pattern, frame)), None)
            if stage is not None:
                counts[stage] += int(count)
                break
        else:
            counts["other"] += int(count)
    return counts
