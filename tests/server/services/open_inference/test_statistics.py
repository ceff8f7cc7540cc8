"""ModelStatistics tells what ``/metrics`` tells, after traffic of every kind over several gateways."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from support.server_process import ServerProcess, request, wait_until
from support.tiny_model import POISON, items, make_tiny_models
from twinserve.inference import open_inference_pb2 as pb
from twinserve.inference import open_inference_pb2_grpc as pb_grpc
from twinserve.v1 import predict_pb2_grpc

SCRIPT = Path(__file__).with_name("triton_client.py")
VARIANTS = ("fp32", "fragile")
CONNECTIONS = 6
#: Sums of the same floats in another order.
CLOSE = 1e-9


def infer_request(pixels: Any, model: str) -> pb.ModelInferRequest:
    """The items as raw contents."""
    message = pb.ModelInferRequest(model_name=model, raw_input_contents=[pixels.tobytes()])
    message.inputs.add(name="input", datatype="UINT8", shape=pixels.shape)
    return message


def send_mixed_traffic(server: ServerProcess) -> None:
    """Named, routed, streamed and failing requests, over connections that meet several gateways."""
    poisoned = items(1)
    poisoned[0, -1, -1] = POISON
    for number in range(CONNECTIONS):
        with server.connect() as channel:
            predict = predict_pb2_grpc.PredictServiceStub(channel)
            infer = pb_grpc.GRPCInferenceServiceStub(channel)
            calls: list[Any] = []
            for count in (1, 2, 3, 16):
                pixels = items(count, seed=number)
                calls += [predict.Predict.future(request(pixels), timeout=60) for _ in range(3)]
                calls += [infer.ModelInfer.future(infer_request(pixels, f"tiny_{v}"), timeout=60) for v in VARIANTS]
            assert len([call.result() for call in calls]) == 20
            # Larger than a batch: its parts run in several forward passes.
            predict.Predict(request(items(40), variant="fp32"), timeout=60)
            assert len(list(infer.ModelStreamInfer(iter([infer_request(items(2), "tiny")] * 5), timeout=60))) == 5
            with pytest.raises(grpc.RpcError):
                infer.ModelInfer(infer_request(poisoned, "tiny_fragile"), timeout=60)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Two gateways, a split and a shadow, after mixed traffic, idle again."""
    models = make_tiny_models(tmp_path_factory.mktemp("models"), VARIANTS, runtime="onnx")
    flags = ("--gateways", "2", "--split", "fragile=0.5", "--shadow", "fp32=1")
    with ServerProcess(models, tmp_path_factory.mktemp("statistics"), *flags) as process:
        send_mixed_traffic(process)
        # Every answer of fragile is followed by a run on its shadow, which may end after it.
        answered = process.metric("twinserve_requests_total", variant="fragile", code="OK")
        wait_until(lambda: shadows(process) == answered, 60)
        yield process


def shadows(server: ServerProcess) -> float:
    """Requests that ran on the shadow, or for which it had no room."""
    return server.metric("twinserve_shadow_requests_total") + server.metric("twinserve_shadow_dropped_total")


def statistics(server: ServerProcess, name: str = "") -> dict[str, pb.ModelStatistics]:
    """By name."""
    stub = pb_grpc.GRPCInferenceServiceStub(server.channel)
    answer = stub.ModelStatistics(pb.ModelStatisticsRequest(name=name), timeout=60)
    return {entry.name: entry for entry in answer.model_stats}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_figure_is_that_of_the_metrics(server: ServerProcess, variant: str) -> None:
    entry = statistics(server, f"tiny_{variant}")[f"tiny_{variant}"]
    found = entry.inference_stats

    def metric(name: str, **labels: str) -> float:
        return server.metric(f"twinserve_{name}", variant=variant, **labels)

    def seconds(duration: pb.StatisticDuration) -> float:
        return duration.ns / 1e9

    answered = metric("requests_total", code="OK")
    assert answered > CONNECTIONS
    assert entry.version == "1"
    assert entry.inference_count == metric("images_total") == metric("predictions_total")
    assert entry.execution_count == metric("batch_size_images_count")
    assert found.success.count == answered == metric("request_duration_seconds_count")
    assert seconds(found.success) == pytest.approx(metric("request_duration_seconds_sum"), abs=CLOSE)
    assert found.fail.count == metric("requests_total") - answered == metric("refused_total")
    assert seconds(found.fail) == pytest.approx(metric("refused_seconds_total"), abs=CLOSE)
    assert found.queue.count == metric("stage_duration_seconds_count", stage="queue")
    assert seconds(found.queue) == pytest.approx(metric("stage_duration_seconds_sum", stage="queue"), abs=CLOSE)
    for stage, name in (("preprocess", "input"), ("inference", "infer"), ("postprocess", "output")):
        duration = getattr(found, f"compute_{name}")
        assert duration.count == answered
        assert seconds(duration) == pytest.approx(metric("request_stage_seconds_total", stage=stage), abs=CLOSE)
        batches = [getattr(size, f"compute_{name}") for size in entry.batch_stats]
        assert sum(batch.count for batch in batches) == metric("stage_duration_seconds_count", stage=stage)
        spent = sum(batch.ns for batch in batches) / 1e9
        assert spent == pytest.approx(metric("stage_duration_seconds_sum", stage=stage), abs=CLOSE)
    by_size = {size.batch_size: size.compute_infer.count for size in entry.batch_stats}
    assert sum(size * count for size, count in by_size.items()) == metric("batch_size_images_sum")
    assert by_size[16] > 0
    assert 0 < time.time() - entry.last_inference / 1e3 < 600


def test_requests_that_fail_are_counted_with_their_time(server: ServerProcess) -> None:
    failed = statistics(server)["tiny_fragile"].inference_stats.fail
    assert failed.count == CONNECTIONS
    assert failed.ns > 0


def test_requests_that_share_a_pass_each_count_all_of_it(server: ServerProcess) -> None:
    """As Triton does: what a request waited for, not what it cost."""
    entry = statistics(server)["tiny_fp32"]
    times = entry.inference_stats
    assert times.compute_infer.ns >= sum(size.compute_infer.ns for size in entry.batch_stats) * 0.9
    assert times.success.ns > times.queue.ns + times.compute_infer.ns


def test_the_routed_pair_is_the_sum_of_its_variants(server: ServerProcess) -> None:
    found = statistics(server)
    assert set(found) == {"tiny", "tiny_fp32", "tiny_fragile"}
    parts = [found["tiny_fp32"], found["tiny_fragile"]]
    pair = found["tiny"]
    assert pair.inference_count == sum(part.inference_count for part in parts)
    assert pair.inference_stats.success.ns == sum(part.inference_stats.success.ns for part in parts)
    assert pair.last_inference == max(part.last_inference for part in parts)
    passes = sum(size.compute_infer.count for size in pair.batch_stats)
    assert passes == pair.execution_count == sum(part.execution_count for part in parts)


def test_every_gateway_tells_the_same(server: ServerProcess) -> None:
    answers = []
    for _ in range(8):
        with server.connect() as channel:
            stub = pb_grpc.GRPCInferenceServiceStub(channel)
            answers.append(stub.ModelStatistics(pb.ModelStatisticsRequest(), timeout=60))
    assert all(answer == answers[0] for answer in answers)


def test_tritons_client_reads_them(server: ServerProcess) -> None:
    command = [sys.executable, str(SCRIPT), server.target, "statistics", json.dumps({"model": "tiny_fp32"})]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    expected = statistics(server)["tiny_fp32"]
    assert int(found["inference_stats"]["success"]["count"]) == expected.inference_stats.success.count > 0
    assert [int(size["batch_size"]) for size in found["batch_stats"]] == [
        size.batch_size for size in expected.batch_stats
    ]


def test_a_model_that_is_not_there_is_named(server: ServerProcess) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        statistics(server, "nobody")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "'nobody' is not found; served are: tiny, tiny_fp32, tiny_fragile" in str(caught.value.details())
