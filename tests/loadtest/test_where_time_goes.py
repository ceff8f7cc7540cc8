"""The benchmark's profile: a folder of the server is a stage."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "loadtest" / "bench"
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


@pytest.mark.parametrize(
    ("frame", "stage"),
    [
        ("QueueLoop._poll (twinserve_server/transport/fast/queue.py:70)", "transport"),
        ("UnaryCall._end (twinserve_server/transport/fast/calls.py:101)", "transport"),
        ("open_call (twinserve_server/services/predict_method.py:112)", "services"),
        ("Link.send (twinserve_server/engine/link.py:80)", "engine"),
        ("Engine._finish (/somewhere/twinserve_server/engine/engine.py:215)", "engine"),
        ("Histogram.observe (twinserve_server/metrics/cells.py:44)", "metrics"),
        ("Forward.__call__ (twinserve_server/model/torchscript.py:90)", "forward pass"),
        ("BatchServer.run (twinserve_server/model/process.py:80)", "model"),
        ("Server.start (grpc/aio/_server.py:50)", "transport"),
        ("_SelectorTransport.write (asyncio/selector_events.py:900)", "event loop"),
        ("EpollSelector.select (selectors.py:468)", "event loop"),
        ("Module._call_impl (torch/nn/modules/module.py:1700)", None),
    ],
)
def test_a_frame_is_named_after_what_it_does(frame: str, stage: str | None) -> None:
    assert stages([frame]) == {frame: stage}
