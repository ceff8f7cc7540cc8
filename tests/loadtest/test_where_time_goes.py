"""The benchmark's profile: every file of the server has its stage."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import twinserve_server

BENCH = Path(__file__).parents[2] / "loadtest" / "bench"
PACKAGE = Path(twinserve_server.__file__).parent
FILES = sorted(path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*.py"))
SCRIPT = """
import json, sys
from where_time_goes import stage_of
print(json.dumps({frame: stage_of(frame) for frame in json.load(sys.stdin)}))
"""


def stages(frames: list[str]) -> dict[str, str | None]:
    """The stage of each frame, as a script of the benchmark sees it: its folder is no package."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(frames),
        env={"PYTHONPATH": str(BENCH)},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, str | None] = json.loads(done.stdout)
    return found


def test_every_file_of_the_server_falls_into_a_stage() -> None:
    found = stages([f"function ({name}:7)" for name in FILES])
    assert len(found) > 50
    assert [frame for frame, stage in found.items() if stage in (None, "event loop")] == []


@pytest.mark.parametrize(
    ("frame", "stage"),
    [
        ("QueueLoop._poll (twinserve_server/fast_queue.py:70)", "gRPC transport"),
        ("UnaryCall._end (twinserve_server/fast_calls.py:101)", "gRPC transport"),
        ("open_call (twinserve_server/predict_method.py:112)", "predict service"),
        ("Link.send (twinserve_server/core/link.py:80)", "Unix socket"),
        ("Engine._finish (/somewhere/twinserve_server/core/engine.py:215)", "queue and route"),
        ("Histogram.observe (twinserve_server/metrics_cells.py:44)", "metrics, logs and traces"),
        ("Server.start (grpc/aio/_server.py:50)", "gRPC transport"),
        ("_SelectorTransport.write (asyncio/selector_events.py:900)", "event loop"),
        ("EpollSelector.select (selectors.py:468)", "event loop"),
        ("Module._call_impl (torch/nn/modules/module.py:1700)", None),
    ],
)
def test_a_frame_is_named_after_what_it_does(frame: str, stage: str | None) -> None:
    assert stages([frame]) == {frame: stage}
