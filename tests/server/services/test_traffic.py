"""Who answers unnamed requests, what runs in the shadow, and which variant was right."""

from __future__ import annotations

import math
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from support.server_process import ServerProcess, request, wait_until
from support.tiny_model import classes_of, items
from twinserve.v1 import admin_pb2, predict_pb2, predict_pb2_grpc

Serve = Callable[..., ServerProcess]


@pytest.fixture
def split(server: ServerProcess) -> Iterator[Callable[..., admin_pb2.Traffic]]:
    """Sets the traffic policy, and puts it back after the test."""
    before = server.admin.GetTraffic(admin_pb2.GetTrafficRequest(), timeout=5).traffic

    def change(weights: dict[str, float], **fields: object) -> admin_pb2.Traffic:
        asked = admin_pb2.SetTrafficRequest(traffic=admin_pb2.Traffic(weights=weights), **fields)  # type: ignore[arg-type]
        return server.admin.SetTraffic(asked, timeout=5).traffic

    yield change
    server.admin.SetTraffic(admin_pb2.SetTrafficRequest(traffic=before), timeout=5)


def variants_of(server: ServerProcess, keys: list[str]) -> list[str]:
    """Who answers each key, asked over several connections so that every gateway is met."""
    channels = [server.connect() for _ in range(6)]
    calls = [predict_pb2_grpc.PredictServiceStub(channel).Predict for channel in channels]
    pixels = items(1)
    found = [
        calls[index % 6](request(pixels, routing_key=key), timeout=5).served_by.variant
        for index, key in enumerate(keys)
    ]
    for channel in channels:
        channel.close()
    return found


def test_without_a_split_the_first_variant_of_the_manifest_answers(server: ServerProcess) -> None:
    answer = server.predict.Predict(request(items(1)), timeout=5)
    assert (answer.served_by.variant, answer.route) == ("fp32", predict_pb2.ROUTE_SPLIT)


def test_a_change_reaches_every_gateway_before_it_is_answered(
    server: ServerProcess, split: Callable[..., admin_pb2.Traffic]
) -> None:
    policy = split({"int8": 1.0})
    assert policy.generation >= 1
    assert set(variants_of(server, [""] * 60)) == {"int8"}
    assert server.metric("twinserve_traffic_weight", variant="int8") == 1.0


def test_keys_stick_while_weights_stand_and_few_move_when_they_change(
    server: ServerProcess, split: Callable[..., admin_pb2.Traffic]
) -> None:
    keys = [f"user-{index}" for index in range(600)]
    split({"fp32": 0.9, "int8": 0.1})
    first = variants_of(server, keys)
    assert variants_of(server, keys[::-1]) == first[::-1]
    share = Counter(first)["int8"] / len(keys)
    assert math.isclose(share, 0.1, abs_tol=5 * math.sqrt(0.09 / len(keys)))
    split({"fp32": 0.8, "int8": 0.2})
    second = variants_of(server, keys)
    assert {(old, new) for old, new in zip(first, second, strict=True) if old != new} <= {("fp32", "int8")}


def test_a_policy_that_changed_meanwhile_is_not_overwritten(split: Callable[..., admin_pb2.Traffic]) -> None:
    generation = split({"int8": 1.0}).generation
    with pytest.raises(grpc.RpcError) as caught:
        split({"fp32": 1.0}, if_generation=generation - 1)
    assert caught.value.code() is grpc.StatusCode.ABORTED
    assert f"the policy has generation {generation} by now" in (caught.value.details() or "")
    assert split({"fp32": 1.0}, if_generation=generation).generation == generation + 1


def test_a_wrong_policy_names_the_field(split: Callable[..., admin_pb2.Traffic]) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        split({"int4": 1.0})
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "traffic.weights['int4']: no such variant; served are: fp32, int8" in (caught.value.details() or "")


def test_a_restarted_gateway_knows_the_policy(tiny_models: Path, serve: Serve) -> None:
    server = serve(tiny_models, "--gateways", "1")
    server.admin.SetTraffic(admin_pb2.SetTrafficRequest(traffic=admin_pb2.Traffic(weights={"int8": 1.0})), timeout=5)
    server.kill("gateway-0")
    server.wait_restarted("gateway-0")
    answer = server.predict.Predict(request(items(1)), timeout=5)
    assert answer.served_by.variant == "int8"


def test_the_command_line_sets_the_first_split(tiny_models: Path, serve: Serve) -> None:
    server = serve(tiny_models, "--split", "int8=0.25")
    weights = server.admin.GetTraffic(admin_pb2.GetTrafficRequest(), timeout=5).traffic.weights
    assert dict(weights) == {"int8": 0.25, "fp32": 0.75}


def test_a_shadow_is_compared_and_never_answers(odd_models: Path, serve: Serve) -> None:
    server = serve(odd_models, "--variants", "fp32,swapped", "--shadow", "swapped=1.0", "--gateways", "1")
    pixels = items(40)
    for index in range(40):
        answer = server.predict.Predict(request(pixels[index]), timeout=5)
        assert answer.served_by.variant == "fp32"
    counted = ("twinserve_shadow_requests_total", "twinserve_shadow_dropped_total")
    wait_until(lambda: sum(server.metric(name) for name in counted) == 40, 10)
    assert server.metric("twinserve_shadow_images_total", primary="fp32", variant="swapped") >= 1
    if not server.metric("twinserve_shadow_dropped_total"):
        flips = int((classes_of(pixels) < 2).sum())
        assert server.metric("twinserve_shadow_disagreements_total") == flips
    assert server.metric("twinserve_request_duration_seconds_count", route="shadow") >= 1


def test_a_busy_shadow_is_dropped_and_counted(odd_models: Path, serve: Serve) -> None:
    server = serve(
        odd_models, "--variants", "fp32,slow", "--replicas", "slow=1,fp32=1", "--shadow", "slow=1.0", "--gateways", "1"
    )
    for _ in range(100):
        server.predict.Predict(request(items(1)), timeout=5)
    assert server.metric("twinserve_shadow_dropped_total", primary="fp32", variant="slow") >= 50


def test_later_labels_give_live_accuracy_whichever_gateway_takes_them(server: ServerProcess) -> None:
    pixels = items(10, seed=9)
    truth = classes_of(pixels)
    names = ("twinserve_feedback_images_total", "twinserve_feedback_correct_total")
    before = [server.metric(name, variant="int8") for name in names]
    for index in range(10):
        with server.connect() as channel:
            ask = channel.unary_unary(
                "/twinserve.v1.PredictService/Predict",
                request_serializer=predict_pb2.PredictRequest.SerializeToString,
                response_deserializer=predict_pb2.PredictResponse.FromString,
            )
            answer = ask(request(pixels[index], variant="int8"), timeout=5)
        label = int(truth[index]) if index else (int(truth[0]) + 1) % 5
        judged = server.predict.SendFeedback(
            predict_pb2.SendFeedbackRequest(request_id=answer.request_id, labels=[label]), timeout=5
        )
        assert (judged.variant, judged.correct, judged.total) == ("int8", int(index > 0), 1)
    assert [server.metric(name, variant="int8") - was for name, was in zip(names, before, strict=True)] == [10, 9]


def test_wrong_feedback_gets_a_clear_answer(server: ServerProcess) -> None:
    answer = server.predict.Predict(request(items(2)), timeout=5)

    def send(request_id: str, labels: list[int]) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.RpcError) as caught:
            server.predict.SendFeedback(
                predict_pb2.SendFeedbackRequest(request_id=request_id, labels=labels), timeout=5
            )
        return caught.value.code(), caught.value.details() or ""

    assert send("", [1])[0] is grpc.StatusCode.INVALID_ARGUMENT
    code, text = send("never-answered", [1])
    assert code is grpc.StatusCode.NOT_FOUND
    assert "'never-answered' is unknown" in text
    assert send(answer.request_id, [1])[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert send(answer.request_id, [1, 5]) == (grpc.StatusCode.INVALID_ARGUMENT, "labels[1]: 5 is not a class (0..4)")
    server.predict.SendFeedback(predict_pb2.SendFeedbackRequest(request_id=answer.request_id, labels=[0, 1]), timeout=5)
    assert send(answer.request_id, [0, 1])[0] is grpc.StatusCode.ALREADY_EXISTS


def test_a_gateway_that_hangs_keeps_nobody_from_answering(tiny_models: Path, serve: Serve) -> None:
    server = serve(tiny_models, "--gateways", "2", "--hang-seconds", "0")
    met = server.predict.Predict(request(items(1)), timeout=5).request_id.partition("-")[0]
    other = next(p.pid for p in server.processes() if p.name.startswith("gateway-") and p.name != f"gateway-{met}")
    os.kill(other, signal.SIGSTOP)
    try:
        with pytest.raises(grpc.RpcError) as caught:
            server.predict.SendFeedback(predict_pb2.SendFeedbackRequest(request_id="nobody's", labels=[1]), timeout=30)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        traffic = admin_pb2.Traffic(weights={"fp32": 1, "int8": 3})
        changed = server.admin.SetTraffic(admin_pb2.SetTrafficRequest(traffic=traffic), timeout=30)
        assert changed.traffic.weights == {"fp32": 1, "int8": 3}
    finally:
        os.kill(other, signal.SIGCONT)
