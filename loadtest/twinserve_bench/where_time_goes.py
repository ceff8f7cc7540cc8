"""Where a request's time goes: py-spy samples of a gateway and of a model process under load, and what follows.

The bound is Amdahl's (1967): if the forward pass, with share f of a process's busy time, cost nothing, that process
could serve 1 / (1 - f) times as much; a gateway runs no forward pass and is bounded by its own work.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from twinserve_bench.h2load import drive
from twinserve_bench.messages import TestSet
from twinserve_bench.processes import Running, tree

SECONDS = 5
#: A frame's folder in the server names its stage, except where a folder has two stages or the frame is not the
#: server's. C code appears as the Python file that called it, so gRPC core's own work (polling, framing, HTTP/2) counts
#: as the transport.
_FOLDER = re.compile(r"twinserve_server/(\w+)/")
_FORWARD_PASS = re.compile(r"twinserve_server/model/(torch\w*|heap)\.py")
_ELSEWHERE = (("transport", re.compile(r"\bgrpc/")), ("event loop", re.compile(r"\basyncio/|\bselectors\.py")))


class ProfileError(RuntimeError):
    """py-spy could not look into a process."""


def stage_of(frame: str) -> str | None:
    """The stage that a frame of the profile belongs to: the server's folder it lies in, or who else does the work."""
    if _FORWARD_PASS.search(frame):
        return "forward pass"
    if found := _FOLDER.search(frame):
        return found[1]
    return next((name for name, pattern in _ELSEWHERE if pattern.search(frame)), None)


def where_time_goes(server: Running, tests: TestSet) -> dict[str, dict[str, float]]:
    """Shares of busy samples by stage, for one gateway and the INT8 model process, with 64 INT8 requests in flight.

    ``if STAGE were free`` is Amdahl's bound for the largest stage of each process.

    Raises:
        ProfileError: py-spy may not look into the processes.
    """
    message = tests.request("int8").SerializeToString()
    found: dict[str, dict[str, float]] = {}
    for role, wanted in (("gateway", "twinserve_server.gateway"), ("model process", "twinserve_server.model.")):
        pids = [pid for pid in tree(server.pid) if wanted in Path(f"/proc/{pid}/cmdline").read_text()]
        with ThreadPoolExecutor() as pool:
            load = pool.submit(drive, server.port, message, 64, SECONDS + 2)
            # All at once, while the load lasts; the busiest is the one that serves INT8.
            counts = max(pool.map(_sample, pids), key=Counter.total)
            load.result()
        total = counts.total() or 1
        found[role] = {stage: round(count / total, 3) for stage, count in counts.most_common()}
        if len(counts) > 1:
            stage, count = counts.most_common(1)[0]
            found[role][f"if {stage} were free, times as fast"] = round(1 / (1 - count / total), 2)
    return found


def _sample(pid: int) -> Counter[str]:
    spy = Path(sys.executable).with_name("py-spy")
    command = [str(spy), "record", "-p", str(pid), "-d", str(SECONDS), "-r", "200", "-f", "raw", "-o", "/dev/stdout"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except OSError as error:
        raise ProfileError(f"py-spy: {error}") from None
    if done.returncode != 0:
        raise ProfileError(f"py-spy: {done.stderr.strip()[-300:]}")
    counts: Counter[str] = Counter()
    for line in done.stdout.splitlines():
        stack, _, count = line.rpartition(" ")
        if count.isdigit():
            stages = (stage_of(frame) for frame in reversed(stack.split(";")))
            counts[next(filter(None, stages), "other")] += int(count)
    return counts
