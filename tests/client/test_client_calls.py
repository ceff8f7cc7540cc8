"""What both clients do with answers and errors, against a real gRPC server."""

from __future__ import annotations

import asyncio
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest

from support.client_face import Face
from support.digit_server import LABELS, SHAPE, Fault, Server, class_of
from twinserve.v1 import predict_pb2
from twinserve_client import (
    AsyncClient,
    CallError,
    Client,
    ClientClosedError,
    ConflictError,
    DeadlineExceededError,
    Feedback,
    FieldViolation,
    InternalError,
    InvalidInputError,
    LabelsUnknownError,
    NotFoundError,
    Prediction,
    ProcessStatus,
    Timing,
    UnavailableError,
    VersionInfo,
)

Images = npt.NDArray[np.uint8]


def test_a_batch_becomes_arrays_and_names(face: Face, client: Any, digits: Images) -> None:
    prediction = face.run(client.predict(digits, variant="int8"))
    assert prediction.classes.tolist() == [0, 1, 2, 3, 4]
    assert prediction.classes.dtype == np.int64
    assert prediction.probabilities.shape == (5, 10)
    assert prediction.probabilities.dtype == np.float32
    assert prediction.probabilities.argmax(axis=1).tolist() == [0, 1, 2, 3, 4]
    assert prediction.labels == ["zero", "one", "two", "three", "four"]
    assert len(prediction) == 5
    assert (prediction.model, prediction.version, prediction.variant) == ("digits", "3", "int8")
    assert prediction.sha256 == "ab" * 32
    assert prediction.route == "named"
    assert prediction.timing == Timing(
        queue=1_000 * 1e-9,
        transfer=3_000 * 1e-9,
        preprocess=0.0,
        inference=2_000 * 1e-9,
        postprocess=0.0,
        total=9_000 * 1e-9,
        batch_size=5,
    )


def test_one_image_has_one_label(face: Face, client: Any, digits: Images) -> None:
    prediction = face.run(client.predict(digits[3]))
    assert prediction.label == "three"
    assert prediction.probabilities.shape == (1, 10)
    assert prediction.route == "split"


def test_label_refuses_a_batch(face: Face, client: Any, digits: Images) -> None:
    prediction = face.run(client.predict(digits))
    with pytest.raises(ValueError, match=r"5 images; use \.labels"):
        prediction.label  # noqa: B018


def test_pixels_arrive_as_they_were(face: Face, client: Any, server: Server) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, *SHAPE), np.uint8)
    for images in (pixels, np.asfortranarray(pixels), pixels[::-1], pixels.astype(np.float64) / 255):
        face.run(client.predict(images))
        sent = [request for request in server.behaviour.requests if hasattr(request, "routing_key")][-1].input
        assert list(sent.shape) == [3, *SHAPE]
        dtype = np.uint8 if images.dtype == np.uint8 else np.float32
        np.testing.assert_array_equal(
            np.frombuffer(sent.data, dtype).reshape(images.shape), images.astype(dtype, copy=False)
        )


def test_what_names_a_request_is_sent_and_comes_back(face: Face, server: Server, digits: Images) -> None:
    client = face.open(server.target, model="digits", token="secret", metadata={"X-Team": "vision"})
    prediction = face.run(client.predict(digits, variant="fp32", routing_key="user-7", request_id="mine"))
    sent = server.behaviour.requests[0]
    assert (sent.model, sent.variant, sent.routing_key, sent.request_id) == ("digits", "fp32", "user-7", "mine")
    assert prediction.request_id == "mine"
    assert server.behaviour.seen["Predict"]["authorization"] == "Bearer secret"
    assert server.behaviour.seen["Predict"]["x-team"] == "vision"
    assert "twinserve-client/" in server.behaviour.seen["Predict"]["user-agent"]


def test_the_server_describes_the_model_once(face: Face, client: Any, server: Server, digits: Images) -> None:
    for _ in range(3):
        face.run(client.predict(digits))
    assert server.behaviour.calls == ["Predict", "DescribeModel", "Predict", "Predict"]


def test_an_answer_survives_a_server_that_does_not_describe(
    face: Face, client: Any, server: Server, digits: Images
) -> None:
    server.behaviour.describe_faults.append(Fault(grpc.StatusCode.PERMISSION_DENIED))
    prediction = face.run(client.predict(digits))
    assert prediction.classes.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(LabelsUnknownError, match="digits version 3"):
        prediction.labels  # noqa: B018
    face.run(client.predict(digits))
    assert server.behaviour.calls == ["Predict", "DescribeModel", "Predict"]
    face.run(client.describe_model())
    assert prediction.labels[1] == "one"


def test_compare_answers_by_variant(face: Face, client: Any, server: Server, digits: Images) -> None:
    every = face.run(client.compare(digits))
    assert list(every) == ["fp32", "int8"]
    assert every["int8"].labels == every["fp32"].labels == ["zero", "one", "two", "three", "four"]
    named = face.run(client.compare(digits, ["int8"], request_id="pair"))
    assert list(named) == ["int8"]
    assert server.behaviour.requests[-1].request_id == "pair"


def test_one_text_is_not_a_list_of_variants(face: Face, client: Any, digits: Images) -> None:
    with pytest.raises(InvalidInputError, match="variants: is the text 'int8'"):
        face.run(client.compare(digits, "int8"))


def test_feedback_counts_the_right_answers(face: Face, client: Any, digits: Images) -> None:
    prediction = face.run(client.predict(digits))
    feedback = face.run(client.send_feedback(prediction.request_id, np.array([0, 1, 2, 9, 9])))
    assert feedback == Feedback(variant="fp32", correct=3, total=5)


def test_feedback_on_an_unknown_request_says_so(face: Face, client: Any) -> None:
    with pytest.raises(NotFoundError, match="request_id: unknown") as caught:
        face.run(client.send_feedback("never", [1]))
    assert caught.value.reason == "UNKNOWN_REQUEST"


@pytest.mark.parametrize("labels", [[-1], ["seven"], [1.5], [[1], [2]]])
def test_feedback_wants_class_numbers(face: Face, client: Any, labels: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"labels: .*no class numbers"):
        face.run(client.send_feedback("any", labels))


def test_describe_model_tells_the_signature(face: Face, client: Any) -> None:
    info = face.run(client.describe_model())
    assert (info.model, info.version, info.item_shape) == ("digits", "3", SHAPE)
    assert info.datatypes == ("UINT8", "FP32")
    assert info.labels == LABELS
    assert info.manifest["schema_version"] == 1
    assert info.ready
    assert info.variant("int8").max_batch_size == 64
    with pytest.raises(NotFoundError, match="'int4' is not served here; served are: fp32, int8"):
        info.variant("int4")
    # This server tells of its active version only, whatever it is asked for.
    assert face.run(client.describe_model(version=3)).version == "3"
    with pytest.raises(NotFoundError, match="active version, 3, in the place of 2; it is older than this client"):
        face.run(client.describe_model(version=2))


def test_traffic_is_read_changed_and_guarded(face: Face, client: Any) -> None:
    before = face.run(client.get_traffic())
    assert (dict(before.weights), before.generation) == ({"fp32": 1.0}, 0)
    after = face.run(client.set_traffic({"fp32": 0.9, "int8": 0.1}, shadows={"int8": 0.05}, if_generation=0))
    assert (dict(after.weights), dict(after.shadows)) == ({"fp32": 0.9, "int8": 0.1}, {"int8": 0.05})
    assert face.run(client.get_traffic()) == after
    with pytest.raises(ConflictError, match="another one by now"):
        face.run(client.set_traffic({"int8": 1}, if_generation=0))


def test_versions_are_listed_loaded_activated_and_refused(face: Face, client: Any) -> None:
    loaded = face.run(client.versions.load(2))
    assert loaded.versions == (VersionInfo("2", "loaded", "", ("int8",)),)
    active = face.run(client.versions.activate("2", keep_previous=True, if_active=1))
    assert (active.model, active.active, active.previous) == ("digits", "2", "1")
    assert face.run(client.versions.list()) == (active,)
    with pytest.raises(ConflictError, match="version 2 is active"):
        face.run(client.versions.unload(2))
    with pytest.raises(InvalidInputError, match="version: is empty"):
        face.run(client.versions.unload(""))
    assert face.run(client.versions.unload_all()).active == ""


def test_a_comparison_is_by_the_names_asked_for(face: Face, client: Any, digits: Images) -> None:
    assert list(face.run(client.compare(digits, ["int8", "fp32"]))) == ["int8", "fp32"]


def test_status_lists_the_processes(face: Face, client: Any) -> None:
    status = face.run(client.get_status())
    assert (status.version, status.uptime_seconds) == ("1.2.3", 60.0)
    assert status.processes == (
        ProcessStatus(
            name="int8-0", role="model", pid=7, ready=True, restarts=2, variant="int8", pss_bytes=99, cpu_seconds=1.5
        ),
    )


def test_violations_reason_and_retry_delay_are_decoded(face: Face, client: Any, server: Server, digits: Images) -> None:
    server.behaviour.faults.append(
        Fault(
            grpc.StatusCode.INVALID_ARGUMENT,
            "input.shape: is [5, 28]",
            violations=(("input.shape", "is [5, 28]"), ("variant", "is odd")),
            reason="INVALID_INPUT",
            retry_after=1.25,
        )
    )
    with pytest.raises(InvalidInputError, match=r"input\.shape: is \[5, 28\]") as caught:
        face.run(client.predict(digits, request_id="r1"))
    error = caught.value
    assert error.violations == (FieldViolation("input.shape", "is [5, 28]"), FieldViolation("variant", "is odd"))
    assert (error.reason, error.retry_after, error.request_id) == ("INVALID_INPUT", 1.25, "r1")
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.__dict__) == (InvalidInputError, error.__dict__)


def test_an_error_carries_the_id_the_server_gave_it(face: Face, client: Any, server: Server, digits: Images) -> None:
    server.behaviour.faults.append(Fault(grpc.StatusCode.INTERNAL, metadata=(("x-request-id", "server-9"),)))
    with pytest.raises(InternalError) as caught:
        face.run(client.predict(digits))
    assert caught.value.request_id == "server-9"


def test_the_deadline_covers_the_whole_call(face: Face, client: Any, server: Server, digits: Images) -> None:
    server.behaviour.holding = True
    with pytest.raises(DeadlineExceededError) as caught:
        face.run(client.predict(digits, timeout=0.05))
    assert isinstance(caught.value, TimeoutError)


def test_the_clients_own_timeout_is_the_default(face: Face, server: Server, digits: Images) -> None:
    server.behaviour.holding = True
    with pytest.raises(DeadlineExceededError):
        face.run(face.open(server.target, timeout=0.05).predict(digits))


def test_nobody_there_is_unavailable(face: Face, digits: Images) -> None:
    client = face.open("127.0.0.1:1", retries=0)
    with pytest.raises(UnavailableError) as caught:
        face.run(client.predict(digits))
    assert isinstance(caught.value, ConnectionError)


def cut_probabilities(response: predict_pb2.PredictResponse) -> None:
    response.probabilities = response.probabilities[:-4]


def test_an_answer_that_contradicts_itself_is_refused(face: Face, client: Any, server: Server, digits: Images) -> None:
    server.behaviour.lie = cut_probabilities
    with pytest.raises(InternalError, match="holds 196 bytes of probabilities; 5 images of 10 classes need 200"):
        face.run(client.predict(digits))


def test_a_closed_client_says_so(face: Face, client: Any, digits: Images) -> None:
    face.run(client.predict(digits))
    face.run(client.close())
    with pytest.raises(ClientClosedError, match="closed"):
        face.run(client.predict(digits))


def test_answers_and_images_agree_under_a_large_batch(face: Face, client: Any) -> None:
    images = np.random.default_rng(2).integers(0, 256, (1000, *SHAPE), np.uint8)
    prediction = face.run(client.predict(images))
    assert prediction.classes.tolist() == [class_of(image) for image in images]


def test_many_callers_share_a_client_and_get_their_own_answers(server: Server) -> None:
    images = np.random.default_rng(4).integers(0, 256, (300, *SHAPE), np.uint8)
    expected = [class_of(image) for image in images]
    with Client(server.target) as client, ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(client.predict, images))
    assert [int(answer.classes[0]) for answer in answers] == expected

    async def gather() -> list[Prediction]:
        async with AsyncClient(server.target) as asynchronous:
            return await asyncio.gather(*(asynchronous.predict(image) for image in images))

    answers = asyncio.run(gather())
    assert [int(answer.classes[0]) for answer in answers] == expected
    assert [answer.label for answer in answers] == [LABELS[number] for number in expected]
    assert server.behaviour.calls.count("DescribeModel") == 2


def test_wait_until_ready_waits_for_every_variant(face: Face, client: Any, server: Server) -> None:
    server.behaviour.not_ready.extend(["int8", "fp32"])
    info = face.run(client.wait_until_ready(30))
    assert info.ready
    assert server.behaviour.calls == ["DescribeModel"] * 3


def test_wait_until_ready_says_what_is_missing(face: Face, client: Any, server: Server) -> None:
    server.behaviour.not_ready.extend(["int8"] * 1000)
    with pytest.raises(DeadlineExceededError, match=r"is not ready after 0\.2 s: not ready yet: int8"):
        face.run(client.wait_until_ready(0.2))


def test_wait_until_ready_gives_up_where_waiting_cannot_help(face: Face, client: Any, server: Server) -> None:
    server.behaviour.describe_faults.append(Fault(grpc.StatusCode.NOT_FOUND, "model: 'x' is not served here"))
    with pytest.raises(NotFoundError, match="is not served here"):
        face.run(client.wait_until_ready(30))


def test_wait_until_ready_on_nobody_ends_with_the_timeout(face: Face) -> None:
    with pytest.raises(CallError, match=r"127\.0\.0\.1:1 is not ready after 0\.3 s"):
        face.run(face.open("127.0.0.1:1").wait_until_ready(0.3))
