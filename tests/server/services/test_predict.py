"""Predict through a real server: right answers to their own callers, and a clear status for everything wrong."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from support.server_process import TRANSPORTS, ServerProcess, request, tensor, wait_until
from support.tiny_model import LABELS, classes_of, items
from twinserve.v1 import admin_pb2, predict_pb2, predict_pb2_grpc

pytestmark = pytest.mark.parametrize("server", TRANSPORTS, indirect=True)


def code_and_text(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details() or ""


def violations(call: Any) -> list[str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    metadata: Any = caught.value.trailing_metadata()
    raw = dict(metadata)["grpc-status-details-bin"]
    bad = error_details_pb2.BadRequest()
    for detail in status_pb2.Status.FromString(raw).details:
        if detail.Unpack(bad):
            return [item.field for item in bad.field_violations]
    return []


@pytest.mark.parametrize("count", [1, 16, 17, 100])
@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_every_image_gets_its_own_answer(server: ServerProcess, count: int, variant: str) -> None:
    pixels = items(count)
    answer = server.predict.Predict(request(pixels, variant=variant), timeout=10)
    assert list(answer.classes) == classes_of(pixels).tolist()
    rows = np.frombuffer(answer.probabilities, np.float32).reshape(count, answer.class_count)
    assert np.allclose(rows.sum(1), 1, atol=1e-5)
    assert rows.argmax(1).tolist() == list(answer.classes)
    assert (answer.served_by.variant, answer.route) == (variant, predict_pb2.ROUTE_NAMED)


def test_one_image_needs_no_batch_dimension(server: ServerProcess) -> None:
    pixels = items(1)[0]
    assert list(server.predict.Predict(request(pixels), timeout=5).classes) == classes_of(pixels).tolist()


def test_float_pixels_get_the_same_answer(server: ServerProcess) -> None:
    pixels = items(8)
    floats = predict_pb2.Tensor(
        datatype=predict_pb2.DATA_TYPE_FP32, shape=pixels.shape, data=(pixels / np.float32(255)).tobytes()
    )
    as_bytes = server.predict.Predict(request(pixels, variant="fp32"), timeout=5)
    as_floats = server.predict.Predict(predict_pb2.PredictRequest(input=floats, variant="fp32"), timeout=5)
    assert list(as_floats.classes) == list(as_bytes.classes)


def test_answers_return_to_their_own_callers_under_concurrency(server: ServerProcess) -> None:
    pixels = items(2000, seed=5)
    expected = classes_of(pixels)
    channels = [server.connect() for _ in range(8)]
    calls = [predict_pb2_grpc.PredictServiceStub(channel).Predict for channel in channels]

    def ask(start: int) -> bool:
        count = 1 + start % 7
        part = pixels[start : start + count]
        variant = ("fp32", "int8")[start % 2]
        answer = calls[start % 8](request(part, variant=variant, request_id=f"r{start}"), timeout=20)
        return (
            list(answer.classes) == expected[start : start + count].tolist()
            and answer.served_by.variant == variant
            and answer.request_id == f"r{start}"
        )

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(ask, range(1990)))
    for channel in channels:
        channel.close()


def test_the_time_split_adds_up(server: ServerProcess) -> None:
    timing = server.predict.Predict(request(items(3), variant="int8"), timeout=5).timing
    stages = timing.queue_ns + timing.transfer_ns + timing.preprocess_ns + timing.inference_ns + timing.postprocess_ns
    assert 0 < timing.inference_ns < timing.total_ns
    assert stages <= timing.total_ns
    assert timing.batch_size >= 3


def test_a_stream_keeps_order_and_survives_a_bad_request(server: ServerProcess) -> None:
    pixels = items(300, seed=2)
    requests = [request(pixels[index], variant="int8", request_id=str(index)) for index in range(300)]
    requests[150] = predict_pb2.PredictRequest(request_id="150")
    answers = list(server.predict.PredictStream(iter(requests), timeout=20))
    assert len(answers) == 300
    assert answers[150].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert answers[150].error.request_id == "150"
    for index, answer in enumerate(answers):
        if index != 150:
            assert answer.response.request_id == str(index)
            assert list(answer.response.classes) == classes_of(pixels[index]).tolist()


def test_a_stream_whose_caller_leaves_ends(server: ServerProcess) -> None:
    rpc = ("grpc_server_handled_total", {"grpc_method": "PredictStream", "grpc_code": "CANCELLED"})
    before = server.metric(rpc[0], **rpc[1])
    pixels = items(1)
    stream = server.predict.PredictStream(iter(lambda: request(pixels), None))
    for _ in range(10):
        next(stream)
    stream.cancel()
    wait_until(lambda: server.metric(rpc[0], **rpc[1]) == before + 1, 10)


def test_compare_shows_the_variants_side_by_side(server: ServerProcess) -> None:
    pixels = items(2)
    answer = server.predict.Compare(predict_pb2.CompareRequest(input=tensor(pixels)), timeout=5)
    assert [part.served_by.variant for part in answer.responses] == ["fp32", "int8"]
    assert all(list(part.classes) == classes_of(pixels).tolist() for part in answer.responses)
    one = server.predict.Compare(predict_pb2.CompareRequest(input=tensor(pixels), variants=["int8"]), timeout=5)
    assert [part.served_by.variant for part in one.responses] == ["int8"]


def test_the_model_describes_itself(server: ServerProcess) -> None:
    answer = server.predict.DescribeModel(predict_pb2.DescribeModelRequest(), timeout=5)
    assert (answer.model, list(answer.item_shape), list(answer.labels)) == ("tiny", [4, 4], LABELS)
    assert {variant.name: variant.ready for variant in answer.variants} == {"fp32": True, "int8": True}


INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
ONE = items(1)


@pytest.mark.parametrize(
    ("wrong", "code", "text", "fields"),
    [
        (predict_pb2.PredictRequest(), INVALID, "input: is missing", ["input"]),
        (request(np.zeros((3, 3), np.uint8)), INVALID, "input.shape: is [3, 3]; tiny takes [4, 4]", ["input.shape"]),
        (request(np.zeros((0, 4, 4), np.uint8)), INVALID, "the batch is empty", ["input.shape"]),
        (request(np.zeros((1025, 4, 4), np.uint8)), INVALID, "1025 items; the limit is 1024", ["input.shape"]),
        (
            predict_pb2.PredictRequest(input=predict_pb2.Tensor(datatype=99, shape=[4, 4], data=bytes(16))),  # type: ignore[arg-type]
            INVALID,
            "input.datatype: is unknown; tiny takes UINT8 or FP32",
            ["input.datatype"],
        ),
        (request(ONE, variant="int4"), NOT_FOUND, "'int4' is not served here; served are: fp32, int8", []),
        (request(ONE, model="other"), NOT_FOUND, "'other' is not served here; served are: tiny", []),
        (request(ONE, request_id="x" * 129), INVALID, "request_id: holds 129 bytes; the limit is 128", ["request_id"]),
        (request(ONE, request_id="größe"), INVALID, "request_id: 'größe' holds characters other", ["request_id"]),
    ],
)
def test_a_wrong_request_gets_its_own_clear_status(
    server: ServerProcess, wrong: predict_pb2.PredictRequest, code: grpc.StatusCode, text: str, fields: list[str]
) -> None:
    def call() -> None:
        server.predict.Predict(wrong, timeout=5)

    found, message = code_and_text(call)
    assert found is code
    assert text in message
    assert violations(call) == fields


NAMES = pytest.mark.parametrize("name", ["x" * 20_000, "🐜" * 20_000], ids=["plain", "encoded"])


@NAMES
@pytest.mark.parametrize("field", ["variant", "model"])
def test_a_name_of_any_length_is_told_to_be_unknown(server: ServerProcess, field: str, name: str) -> None:
    code, message = code_and_text(lambda: server.predict.Predict(request(ONE, **{field: name}), timeout=5))
    assert code is NOT_FOUND
    assert message.startswith(f"{field}: '{name[:20]}")
    assert "is not served here; served are: " in message
    assert len(message) < 300


def test_a_shape_of_any_length_is_told_to_be_wrong(server: ServerProcess) -> None:
    shape = predict_pb2.Tensor(datatype=predict_pb2.DATA_TYPE_UINT8, shape=range(3000), data=bytes(16))

    def call() -> None:
        server.predict.Predict(predict_pb2.PredictRequest(input=shape), timeout=5)

    assert code_and_text(call) == (
        INVALID,
        "input.shape: is [0, 1, 2, 3, 4, 5, 6, 7, ...]; tiny takes [4, 4] or [N, 4, 4]",
    )
    assert violations(call) == ["input.shape"]


@NAMES
def test_feedback_for_a_name_of_any_length_is_told_to_be_unknown(server: ServerProcess, name: str) -> None:
    sent = predict_pb2.SendFeedbackRequest(request_id=name, labels=[1])
    code, message = code_and_text(lambda: server.predict.SendFeedback(sent, timeout=5))
    assert code is NOT_FOUND
    assert "is unknown" in message


@NAMES
def test_weights_for_a_name_of_any_length_are_told_to_be_wrong(server: ServerProcess, name: str) -> None:
    sent = admin_pb2.SetTrafficRequest(traffic=admin_pb2.Traffic(weights={name: 1.0}))
    code, message = code_and_text(lambda: server.admin.SetTraffic(sent, timeout=5))
    assert code is INVALID
    assert "no such variant; served are: fp32, int8" in message


def test_bytes_that_are_no_message_are_an_invalid_argument(server: ServerProcess) -> None:
    call: Any = server.channel.unary_unary("/twinserve.v1.PredictService/Predict")
    code, text = code_and_text(lambda: call(b"\xff\xff\xff", timeout=5))
    assert code is INVALID
    assert "is not a message that" in text


def test_an_unknown_method_is_unimplemented(server: ServerProcess) -> None:
    call: Any = server.channel.unary_unary("/twinserve.v1.PredictService/Nothing")
    assert code_and_text(lambda: call(b"", timeout=5))[0] is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("service", ["", "twinserve.v1.PredictService", "tiny/fp32", "tiny/int8"])
def test_health_says_serving(server: ServerProcess, service: str) -> None:
    stub = health_pb2_grpc.HealthStub(server.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_lists_the_services(server: ServerProcess) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    answer = next(iter(stub.ServerReflectionInfo(asked, timeout=5)))
    names = {service.name for service in answer.list_services_response.service}
    assert {"twinserve.v1.PredictService", "twinserve.v1.AdminService", "grpc.health.v1.Health"} <= names


def test_every_outcome_is_counted_once_under_its_status(server: ServerProcess) -> None:
    def handled(code: str) -> float:
        return server.metric("grpc_server_handled_total", grpc_method="Predict", grpc_code=code)

    before = {code: handled(code) for code in ("OK", "INVALID_ARGUMENT", "NOT_FOUND")}
    for _ in range(3):
        server.predict.Predict(request(ONE), timeout=5)
    code_and_text(lambda: server.predict.Predict(predict_pb2.PredictRequest(), timeout=5))
    code_and_text(lambda: server.predict.Predict(request(ONE, variant="int4"), timeout=5))
    assert {code: handled(code) - count for code, count in before.items()} == {
        "OK": 3,
        "INVALID_ARGUMENT": 1,
        "NOT_FOUND": 1,
    }


def test_metrics_tell_latency_memory_and_answers_by_variant(server: ServerProcess) -> None:
    before = server.metric("twinserve_predictions_total", variant="int8")
    server.predict.Predict(request(items(5), variant="int8"), timeout=5)
    assert server.metric("twinserve_predictions_total", variant="int8") == before + 5
    assert server.metric("twinserve_request_duration_seconds_count", variant="int8", route="named") >= 1
    assert server.metric("twinserve_stage_duration_seconds_count", variant="int8", stage="inference") >= 1
    for variant in ("fp32", "int8"):
        # Shared pages are counted from time to time only.
        wait_until(
            lambda it=variant: server.metric("twinserve_model_resident_bytes", variant=it, kind="pss") > 10 << 20, 60
        )
        assert server.metric("twinserve_model_ready", variant=variant) == 1
        assert server.metric("twinserve_model_artefact_bytes", variant=variant) > 100
    assert server.metric("twinserve_model_info", dataset="tiny 0/64 (subset)", variant="int8") == 1
