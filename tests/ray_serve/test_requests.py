"""What a caller of the Ray application sees is what a caller of `twinserve serve` sees."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import pytest

from support.serve_cluster import ServeCluster
from support.server_process import ServerProcess, failures, request, wait_until
from twinserve.inference import open_inference_pb2, open_inference_pb2_grpc
from twinserve.v1 import predict_pb2_grpc
from twinserve_client import AlreadyExistsError, Client, InvalidInputError, NotFoundError
from twinserve_loadtest.record.testset import TestSet, load_test_set

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

#: Of one batch and of another, sums of floats differ in their last bits.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def test_set(digits: Path) -> TestSet:
    return load_test_set(digits / "mnist")


def test_answers_equal_those_of_a_single_server_on_the_test_set(
    cluster: ServeCluster, single: ServerProcess, test_set: TestSet
) -> None:
    with cluster.client() as on_ray, Client(single.target) as alone:
        for variant in ("fp32", "int8"):
            for start in range(0, len(test_set), 100):
                images = test_set.images[start : start + 100]
                here, there = on_ray.predict(images, variant=variant), alone.predict(images, variant=variant)
                np.testing.assert_array_equal(here.classes, there.classes)
                np.testing.assert_allclose(here.probabilities, there.probabilities, atol=TOLERANCE)


def test_every_node_answers(cluster: ServeCluster, test_set: TestSet) -> None:
    for target in cluster.targets:
        with cluster.client(target=target) as client:
            assert client.predict(test_set.images[0]).variant == "fp32"


def test_bad_input_is_refused_in_the_same_words(cluster: ServeCluster, single: ServerProcess) -> None:
    wrong = np.zeros((3, 5), np.uint8)
    messages = []
    for target in (cluster.target, single.target):
        with Client(target) as client:
            with pytest.raises(InvalidInputError) as refused:
                client.predict(wrong)
            with pytest.raises(NotFoundError) as unknown:
                client.predict(np.zeros((28, 28), np.uint8), variant="int4")
            messages.append((refused.value.message, refused.value.violations, unknown.value.message))
    assert messages[0] == messages[1]


def test_a_caller_who_leaves_takes_nobody_s_answer_along(cluster: ServeCluster, test_set: TestSet) -> None:
    with grpc.insecure_channel(cluster.target) as channel:
        predict = predict_pb2_grpc.PredictServiceStub(channel).Predict
        for _ in range(5):
            calls = [predict.future(request(image, variant="fp32"), timeout=120) for image in test_set.images[:40]]
            calls[0].result()
            for leaving in calls[::2]:
                leaving.cancel()
            assert failures(calls[1::2]) == []


def test_a_stream_is_answered_in_order(cluster: ServeCluster, test_set: TestSet) -> None:
    images = test_set.images[:40]
    with cluster.client() as client:
        one_by_one = [client.predict(image).classes[0] for image in images]
        assert [answer.classes[0] for answer in client.predict_stream(iter(images))] == one_by_one


def test_compare_asks_every_variant(cluster: ServeCluster, test_set: TestSet) -> None:
    with cluster.client() as client:
        answers = client.compare(test_set.images[:5])
        assert sorted(answers) == ["fp32", "int8"]
        for variant, answer in answers.items():
            expected = client.predict(test_set.images[:5], variant=variant)
            np.testing.assert_array_equal(answer.classes, expected.classes)


def test_labels_are_counted_once_whichever_gateway_takes_them(cluster: ServeCluster, test_set: TestSet) -> None:
    before = cluster.metric("twinserve_feedback_images_total", variant="int8")
    with cluster.client() as client:
        for index in range(6):
            answer = client.predict(test_set.images[index], variant="int8")
            assert client.send_feedback(answer.request_id, test_set.labels[index : index + 1]).total == 1
            with pytest.raises(AlreadyExistsError):
                client.send_feedback(answer.request_id, test_set.labels[index : index + 1])
    wait_until(lambda: cluster.metric("twinserve_feedback_images_total", variant="int8") == before + 6, 30)


def test_a_changed_policy_is_followed_by_every_gateway_when_the_call_returns(
    cluster: ServeCluster, test_set: TestSet
) -> None:
    with cluster.client() as client:
        for variant in ("int8", "fp32"):
            changed = client.set_traffic({variant: 1.0})
            assert {client.predict(test_set.images[0]).variant for _ in range(20)} == {variant}
            assert client.get_traffic().generation == changed.generation


def test_open_inference_clients_are_answered(cluster: ServeCluster, test_set: TestSet) -> None:
    with grpc.insecure_channel(cluster.target) as channel, cluster.client() as client:
        stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerReady(open_inference_pb2.ServerReadyRequest(), timeout=30).ready
        metadata = stub.ModelMetadata(open_inference_pb2.ModelMetadataRequest(name="mnist"), timeout=30)
        (tensor,) = metadata.inputs
        asked = open_inference_pb2.ModelInferRequest(
            model_name="mnist", raw_input_contents=[test_set.images[:3].tobytes()]
        )
        asked.inputs.add(name=tensor.name, datatype="UINT8", shape=test_set.images[:3].shape)
        answer = stub.ModelInfer(asked, timeout=30)
        position = [output.name for output in answer.outputs].index(metadata.outputs[0].name)
        expected = client.predict(test_set.images[:3])
        found = np.frombuffer(answer.raw_output_contents[position], np.float32).reshape(3, -1)
        np.testing.assert_allclose(found, expected.probabilities, atol=TOLERANCE)


def test_reflection_names_the_services(cluster: ServeCluster) -> None:
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    with grpc.insecure_channel(cluster.target) as channel:
        services = set(ProtoReflectionDescriptorDatabase(channel).get_services())
    assert {"twinserve.v1.PredictService", "inference.GRPCInferenceService", "grpc.health.v1.Health"} <= services
