"""The benchmark's profile: a folder of the server is a stage."""

from __future__ import annotations

import pytest

from twinserve_bench.where_time_goes import stage_of


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
    assert stage_of(frame) == stage
