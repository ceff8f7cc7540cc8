"""Two servers that share a traffic file and a key: one policy, one routing, and labels go to either."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from support.server_process import ServerProcess, request, wait_until
from support.tiny_model import classes_of, items
from twinserve.v1 import admin_pb2, predict_pb2, predict_pb2_grpc
from twinserve_client import AlreadyExistsError, Client

KEYS = [f"user-{number}" for number in range(1000)]


def write(path: Path, generation: int, weights: dict[str, float]) -> None:
    """Replace the file at once, as a ConfigMap is."""
    partial = path.with_suffix(".new")
    partial.write_text(json.dumps({"generation": generation, "models": {"tiny": {"weights": weights}}}))
    partial.replace(path)


def policy(server: ServerProcess) -> admin_pb2.Traffic:
    return server.admin.GetTraffic(admin_pb2.GetTrafficRequest(), timeout=30).traffic


def variants(server: ServerProcess) -> list[str]:
    calls = [server.predict.Predict.future(request(items(1), routing_key=key), timeout=60) for key in KEYS]
    return [call.result().served_by.variant for call in calls]


@pytest.fixture(scope="module")
def traffic_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traffic") / "traffic.json"
    write(path, 1, {"fp32": 0.7, "int8": 0.3})
    return path


@pytest.fixture(scope="module")
def pair(
    tiny_models: Path, traffic_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    key = traffic_file.with_name("key")
    key.write_text("k" * 64)
    flags = ("--traffic", str(traffic_file), "--feedback-key", str(key), "--gateways", "2")
    with (
        ServerProcess(tiny_models, tmp_path_factory.mktemp("one"), *flags) as one,
        ServerProcess(tiny_models, tmp_path_factory.mktemp("two"), *flags) as two,
    ):
        yield one, two


def test_a_key_meets_the_same_variant_on_both(pair: tuple[ServerProcess, ServerProcess]) -> None:
    one, two = map(variants, pair)
    assert one == two
    assert 200 < one.count("int8") < 400


def test_a_changed_file_is_followed_by_both(pair: tuple[ServerProcess, ServerProcess], traffic_file: Path) -> None:
    write(traffic_file, 7, {"int8": 1.0})
    wait_until(lambda: all(policy(server).generation == 7 for server in pair), 60)
    for server in pair:
        assert set(variants(server)) == {"int8"}
        assert server.metric("twinserve_traffic_weight", variant="int8") == 1.0
        assert server.metric("twinserve_traffic_file_generation") == 7


def test_a_bad_file_keeps_the_policy_and_says_so_in_log_and_metric(
    pair: tuple[ServerProcess, ServerProcess], traffic_file: Path
) -> None:
    good = traffic_file.read_text()
    write(traffic_file, 8, {"int4": 1.0})
    for server in pair:
        wait_until(lambda it=server: it.metric("twinserve_traffic_file_last_read_successful") == 0, 60)
        assert dict(policy(server).weights) == json.loads(good)["models"]["tiny"]["weights"]
        wait_until(lambda it=server: "traffic_file_not_read" in it.log(), 30)
        assert "no such variant; served are: fp32, fp32@1, int8, int8@1" in server.log()
    traffic_file.write_text(good)
    for server in pair:
        wait_until(lambda it=server: it.metric("twinserve_traffic_file_last_read_successful") == 1, 60)


def test_a_call_does_not_change_what_a_file_says(pair: tuple[ServerProcess, ServerProcess], traffic_file: Path) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        pair[0].admin.SetTraffic(
            admin_pb2.SetTrafficRequest(traffic=admin_pb2.Traffic(weights={"fp32": 1.0})), timeout=30
        )
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert f"this server follows {traffic_file}" in (caught.value.details() or "")


def judge(server: ServerProcess, request_id: str, labels: list[int]) -> predict_pb2.SendFeedbackResponse:
    sent = predict_pb2.SendFeedbackRequest(request_id=request_id, labels=labels)
    return server.predict.SendFeedback(sent, timeout=30)


def test_the_other_server_takes_the_labels_and_counts_them(pair: tuple[ServerProcess, ServerProcess]) -> None:
    one, two = pair
    pixels = items(10, seed=3)
    truth = classes_of(pixels)
    before = two.metric("twinserve_feedback_images_total", variant="fp32")
    for index in range(10):
        answer = one.predict.Predict(request(pixels[index], variant="fp32"), timeout=30)
        assert len(answer.request_id) <= 128
        found = judge(two, answer.request_id, [int(truth[index])])
        assert (found.variant, found.correct, found.total) == ("fp32", 1, 1)
    assert two.metric("twinserve_feedback_images_total", variant="fp32") == before + 10
    assert one.metric("twinserve_feedback_images_total", variant="fp32") == 0


def test_labels_are_counted_once_whichever_gateway_is_told(pair: tuple[ServerProcess, ServerProcess]) -> None:
    one, two = pair
    request_id = one.predict.Predict(request(items(1)), timeout=30).request_id
    judge(two, request_id, [1])
    for _ in range(6):
        with two.connect() as channel, pytest.raises(grpc.RpcError) as caught:
            predict_pb2_grpc.PredictServiceStub(channel).SendFeedback(
                predict_pb2.SendFeedbackRequest(request_id=request_id, labels=[1]), timeout=30
            )
        assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS


def test_a_changed_id_is_an_invalid_argument(pair: tuple[ServerProcess, ServerProcess]) -> None:
    request_id = pair[0].predict.Predict(request(items(1)), timeout=30).request_id
    for server in pair:
        with pytest.raises(grpc.RpcError) as caught:
            judge(server, f"9{request_id}", [1])
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_an_id_of_the_callers_choice_is_known_where_it_was_answered(
    pair: tuple[ServerProcess, ServerProcess],
) -> None:
    one, two = pair
    assert one.predict.Predict(request(items(1), request_id="order-4711"), timeout=30).request_id == "order-4711"
    with pytest.raises(grpc.RpcError) as caught:
        judge(two, "order-4711", [1])
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert judge(one, "order-4711", [1]).total == 1


def test_nothing_is_lost_and_counts_are_exact_while_a_server_is_killed(
    tiny_models: Path, tmp_path: Path, serve: Callable[..., ServerProcess]
) -> None:
    """One client, two servers: one killed and restarted, the policy changed, labels sent to whoever is there."""
    path, key = tmp_path / "traffic.json", tmp_path / "key"
    write(path, 1, {"fp32": 1.0})
    key.write_text("k" * 64)
    flags = ("--traffic", str(path), "--feedback-key", str(key), "--gateways", "1")
    first, second = serve(tiny_models, *flags), serve(tiny_models, *flags)
    pixels = items(64, seed=5)
    truth = classes_of(pixels)
    stop = threading.Event()
    answers: list[tuple[str, int, str]] = []

    with Client(f"{first.target},{second.target}", timeout=60) as client:

        def load() -> None:
            for index in itertools.cycle(range(64)):
                if stop.is_set():
                    return
                answer = client.predict(pixels[index])
                assert int(answer.classes[0]) == truth[index]
                answers.append((answer.request_id, int(truth[index]), answer.variant))

        def more(count: int) -> None:
            wanted = len(answers) + count
            wait_until(lambda: len(answers) > wanted or any(worker.done() for worker in workers), 60)

        with ThreadPoolExecutor(3) as threads:
            workers = [threads.submit(load) for _ in range(3)]
            try:
                wait_until(
                    lambda: all(server.metric("twinserve_requests_total") > 20 for server in (first, second)), 60
                )
                second.process.kill()
                second.process.wait(30)
                more(100)
                write(path, 2, {"int8": 1.0})
                successor = serve(tiny_models, *flags, "--port", str(second.grpc_port))
                wait_until(lambda: all(policy(server).generation == 2 for server in (first, successor)), 60)
                wait_until(lambda: successor.metric("twinserve_requests_total") > 20, 60)
                more(50)
            finally:
                stop.set()
            # What failed, or was wrong, is raised here: nothing may be.
            for worker in workers:
                worker.result()
        assert answers[0][2] == "fp32"
        assert answers[-1][2] == "int8"

        # The labels of what the dead server answered are among these.
        labelled = answers[:150] + answers[-150:]
        for number, (request_id, label, variant) in enumerate(labelled):
            told = client.send_feedback(request_id, [label if number % 10 else (label + 1) % 5])
            assert (told.variant, told.total, told.correct) == (variant, 1, int(number % 10 > 0))
        with pytest.raises(AlreadyExistsError):
            client.send_feedback(labelled[0][0], [labelled[0][1]])
    for variant in ("fp32", "int8"):
        mine = [number for number, answer in enumerate(labelled) if answer[2] == variant]
        counted = [
            sum(server.metric(f"twinserve_feedback_{what}_total", variant=variant) for server in (first, successor))
            for what in ("images", "correct")
        ]
        assert counted == [len(mine), sum(number % 10 > 0 for number in mine)]
    # One answer may have died with its server after it was counted and before it arrived; none of the living's did.
    refused = sum(server.metric("twinserve_refused_total") for server in (first, successor))
    assert refused == 0
