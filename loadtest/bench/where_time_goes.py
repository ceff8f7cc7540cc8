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

from h2load import drive
from messages import TestSet
from processes import Running, tree

SECONDS = 5
#: The first pattern that matches a frame, from the innermost outwards, names the stage of a sample. Every file of the
#: server has its stage: what runs in C shows as the Python file that called it, so gRPC core's own work (polling,
#: framing, HTTP/2) is in the transport.
STAGES = (
    ("forward pass", r"twinserve_server/(forward|torch_runtime|heap)\.py"),
    ("Unix socket", r"twinserve_server/(core/link|core/frames|model_links)\.py"),
    ("encode the answer", r"twinserve_server/answer_codec\.py"),
    ("decode and validate", r"twinserve_server/tensor_codec\.py"),
    ("queue and route", r"twinserve_server/core/"),
    (
        "metrics, logs and traces",
        r"twinserve_server/(metrics\w*|exposition|observers|access_log|logs|telemetry|tracing)\.py",
    ),
    (
        "predict service",
        r"twinserve_server/(predict_\w+|stream_window|direct|deadlines|describe|status|admin_service)\.py",
    ),
    ("gRPC transport", r"twinserve_server/(fast_\w+|aio_transport|transport\w*|interceptors/\w+)\.py|\bgrpc/"),
    ("model process loop", r"twinserve_server/model_process\.py"),
    (
        "start and housekeeping",
        r"twinserve_server/(__init__|__main__|app|child_process|cli|control|gateway|plan|process_\w+|serve_command"
        r"|settings?\w*|supervisor\w*|tls|usable_cores)\.py",
    ),
    ("event loop", r"\basyncio/|\bselectors\.py"),
)


class ProfileError(RuntimeError):
    """py-spy could not look into a process."""


def stage_of(frame: str) -> str | None:
    """The stage that a frame of the profile belongs to."""
    return next((name for name, pattern in STAGES if re.search(pattern, frame)), None)


def where_time_goes(server: Running, tests: TestSet) -> dict[str, dict[str, float]]:
    """Shares of busy samples by stage, for one gateway and the INT8 model process, with 64 INT8 requests in flight.

    ``if STAGE were free`` is Amdahl's bound for the largest stage of each process.

    Raises:
        ProfileError: py-spy may not look into the processes.
    """
    message = tests.request("int8").SerializeToString()
    found: dict[str, dict[str, float]] = {}
    for role, wanted in (("gateway", "twinserve_server.gateway"), ("model process", "twinserve_server.model_process")):
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
