"""Versions come and go while the server runs: nobody's request is lost, and what is broken changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.odd_artefacts import saved, script
from support.server_process import ServerProcess, failures, request, wait_until
from support.tiny_model import SLOW_ROUNDS, Recipe, classes_of, items, make_tiny_models
from support.tiny_onnx import graph_of
from support.versions import add_version, rewrite
from twinserve.v1 import admin_pb2, predict_pb2
from twinserve_server.host.memory import resident_bytes

SECONDS = 120


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1: fp32 and int8. Version 2 confuses classes 0 and 1."""
    root = make_tiny_models(tmp_path_factory.mktemp("models"), runtime="onnx")
    add_version(root, "2", swapped=True)
    return root


@pytest.fixture(scope="module")
def serving(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose tests leave version 1 active and alone."""
    flags = ("--gateways", "2", "--replicas", "fp32=1", "--unloaded-metrics-seconds", "1")
    with ServerProcess(repository, tmp_path_factory.mktemp("server"), *flags) as it:
        activate(it, "1")
        yield it


@pytest.fixture(autouse=True)
def _version_1_is_active(serving: ServerProcess) -> Iterator[None]:
    yield
    activate(serving, "1")
    assert states(serving)["1"] == "LOADED"


def activate(server: ServerProcess, version: str, keep_previous: bool = False) -> admin_pb2.ModelVersions:
    wanted = admin_pb2.ActivateVersionRequest(version=version, keep_previous=keep_previous)
    return server.admin.ActivateVersion(wanted, timeout=SECONDS).model


def states(server: ServerProcess) -> dict[str, str]:
    (model,) = server.admin.ListVersions(admin_pb2.ListVersionsRequest(), timeout=SECONDS).models
    return {
        entry.version: admin_pb2.VersionState.Name(entry.state).removeprefix("VERSION_STATE_")
        for entry in model.versions
    }


def swapped(classes: list[int]) -> list[int]:
    return [{0: 1, 1: 0}.get(index, index) for index in classes]


def ask(server: ServerProcess, variant: str = "") -> predict_pb2.PredictResponse:
    return server.predict.Predict(request(items(40), variant=variant), timeout=SECONDS)


def test_a_version_is_loaded_beside_the_other_and_answers_who_names_it(serving: ServerProcess) -> None:
    serving.admin.LoadVersion(admin_pb2.LoadVersionRequest(version="2"), timeout=SECONDS)
    known = classes_of(items(40)).tolist()
    for variant, version, expected in (("", "1", known), ("int8", "1", known), ("int8@2", "2", swapped(known))):
        answer = ask(serving, variant)
        assert (answer.served_by.version, list(answer.classes)) == (version, expected)
    assert ask(serving, "int8@2").served_by.variant == "int8"
    serving.admin.UnloadVersion(admin_pb2.UnloadVersionRequest(version="2"), timeout=SECONDS)
    assert states(serving) == {"2": "AVAILABLE", "1": "LOADED"}
    with pytest.raises(grpc.RpcError, match="int8@2"):
        ask(serving, "int8@2")


def test_switches_under_load_lose_nothing_and_every_answer_is_its_versions(serving: ServerProcess) -> None:
    stop, outcomes = threading.Event(), Counter[str]()
    pixels = items(1)
    known = classes_of(pixels).tolist()
    expected = {"1": known, "2": swapped(known)}

    def caller() -> None:
        with serving.connect() as channel:
            call = channel.unary_unary(
                "/twinserve.v1.PredictService/Predict",
                request_serializer=predict_pb2.PredictRequest.SerializeToString,
                response_deserializer=predict_pb2.PredictResponse.FromString,
            )
            while not stop.is_set():
                try:
                    answer = call(request(pixels), timeout=SECONDS)
                except grpc.RpcError as error:
                    outcomes[f"{error.code().name}: {error.details()}"] += 1
                else:
                    right = list(answer.classes) == expected[answer.served_by.version]
                    outcomes[answer.served_by.version if right else "wrong"] += 1

    callers = [threading.Thread(target=caller) for _ in range(4)]
    for thread in callers:
        thread.start()
    try:
        for turn, version in enumerate(("2", "1") * 3):
            seen = outcomes[version]
            activate(serving, version)
            wait_until(lambda: outcomes[version] > seen, SECONDS)  # noqa: B023  (within this turn)
            if turn == 1:
                # Each version has been loaded and unloaded by now: what stays for good is there.
                before = memory(serving)
    finally:
        stop.set()
        for thread in callers:
            thread.join()
    assert outcomes.keys() == {"1", "2"}
    assert memory(serving) < 1.1 * before


def test_a_version_that_takes_other_input_answers_only_who_names_it(serving: ServerProcess, repository: Path) -> None:
    folder = add_version(repository, "3")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["input"]["datatypes"] = ["FP32"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    try:
        serving.admin.LoadVersion(admin_pb2.LoadVersionRequest(version="3"), timeout=SECONDS)
        pixels = request(items(2)).input
        for refused in (
            lambda: serving.predict.Predict(request(items(2), variant="int8@3"), timeout=SECONDS),
            lambda: set_traffic(serving, {"int8": 1, "int8@3": 1}),
            lambda: serving.predict.Compare(
                predict_pb2.CompareRequest(input=pixels, variants=["int8", "int8@3"]), timeout=SECONDS
            ),
        ):
            with pytest.raises(grpc.RpcError) as error:
                refused()
            assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    finally:
        serving.admin.UnloadVersion(admin_pb2.UnloadVersionRequest(version="3"), timeout=SECONDS)
        shutil.rmtree(folder)


def memory(server: ServerProcess) -> int:
    """Bytes of all processes of the server, shared ones counted once."""
    pids = {server.process.pid, *(process.pid for process in server.processes())}
    return sum(resident_bytes(pid).pss for pid in pids)


def test_a_rollback_to_what_was_kept_starts_no_process(serving: ServerProcess) -> None:
    before = {process.pid for process in serving.processes()}
    model = activate(serving, "2", keep_previous=True)
    assert (model.active, model.previous) == ("2", "1")
    activate(serving, model.previous)
    assert {process.pid for process in serving.processes()} == before


def test_a_policy_may_share_requests_among_versions(serving: ServerProcess) -> None:
    serving.admin.LoadVersion(admin_pb2.LoadVersionRequest(version="2"), timeout=SECONDS)
    set_traffic(serving, {"int8": 1, "int8@2": 1})
    assert {ask(serving).served_by.version for _ in range(60)} == {"1", "2"}
    assert serving.metric("twinserve_traffic_weight", version="2", variant="int8") == 0.5
    with pytest.raises(grpc.RpcError, match="give its share to another first") as refused:
        serving.admin.UnloadVersion(admin_pb2.UnloadVersionRequest(version="2"), timeout=SECONDS)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    set_traffic(serving, {"fp32": 1})
    serving.admin.UnloadVersion(admin_pb2.UnloadVersionRequest(version="2"), timeout=SECONDS)


def set_traffic(server: ServerProcess, weights: dict[str, float]) -> None:
    server.admin.SetTraffic(admin_pb2.SetTrafficRequest(traffic=admin_pb2.Traffic(weights=weights)), timeout=SECONDS)


def break_bit(folder: Path) -> None:
    data = bytearray((folder / "int8.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "int8.onnx").write_bytes(data)


def truncate(folder: Path) -> None:
    os.truncate(folder / "int8.onnx", 100)


def wrong_manifest(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["input"]["shape"] = "4x4"
    (folder / "manifest.json").write_text(json.dumps(manifest))


def no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def half_a_manifest(folder: Path) -> None:
    os.truncate(folder / "manifest.json", 100)


def traversal(folder: Path) -> None:
    rewrite(folder, "int8", (folder / "int8.onnx").read_bytes(), file="../1/int8.onnx")


def link_outside(folder: Path) -> None:
    (folder / "int8.onnx").rename(folder.parent / "elsewhere.onnx")
    (folder / "int8.onnx").symlink_to(folder.parent / "elsewhere.onnx")


def pickled(folder: Path) -> None:
    import pickle

    rewrite(folder, "int8", pickle.dumps({"weights": [1, 2, 3]}), format="torchscript", file="int8.pt")


def too_much_memory(folder: Path) -> None:
    body = "y = torch.zeros([1 << 46])\nreturn torch.softmax(x.to(torch.float32).flatten(1)[:, :5] + y[0], 1)"
    rewrite(folder, "int8", saved(script(body)), format="torchscript", file="int8.pt")


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (break_bit, "int8.onnx: is corrupt: SHA-256"),
        (truncate, "int8.onnx: is corrupt: 100 bytes"),
        (wrong_manifest, "manifest.json: field input.shape"),
        (no_manifest, "manifest.json: does not exist"),
        (half_a_manifest, "manifest.json"),
        (traversal, "field variants.int8.file"),
        (link_outside, "outside its folder"),
        (pickled, "int8.pt"),
        (too_much_memory, "int8.pt"),
    ],
)
def test_a_bad_version_is_refused_and_the_old_one_serves_on(
    serving: ServerProcess, repository: Path, spoil: Callable[[Path], None], cause: str
) -> None:
    folder = add_version(repository, "3")
    spoil(folder)
    before = {process.pid for process in serving.processes()}
    try:
        with pytest.raises(grpc.RpcError) as refused:
            activate(serving, "3")
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert cause in str(refused.value.details())
        assert cause in serving.log()
        assert states(serving) == {"3": "BROKEN", "2": "AVAILABLE", "1": "LOADED"}
        assert ask(serving).served_by.version == "1"
        assert {process.pid for process in serving.processes()} == before
    finally:
        shutil.rmtree(folder)
        (folder.parent / "elsewhere.onnx").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("version", "code"),
    [("../1", "INVALID_ARGUMENT"), ("9", "NOT_FOUND")],
)
def test_a_version_that_is_not_there_is_named(serving: ServerProcess, version: str, code: str) -> None:
    with pytest.raises(grpc.RpcError, match="version: ") as refused:
        activate(serving, version)
    assert refused.value.code().name == code


def test_a_process_that_dies_while_it_loads_leaves_the_old_version_serving(
    repository: Path, serving: ServerProcess
) -> None:
    # To warm it up takes a second or more: long enough to be found at it.
    folder = add_version(repository, "9")
    for variant in ("fp32", "int8"):
        rewrite(folder, variant, graph_of(Recipe(rounds=4 * SLOW_ROUNDS)))
    loading = serving.admin.LoadVersion.future(admin_pb2.LoadVersionRequest(version="9"), timeout=SECONDS)

    def victims() -> list[int]:
        return [process.pid for process in serving.processes() if process.version == "9" and process.pid]

    wait_until(victims, SECONDS, serving.log)
    os.kill(victims()[0], signal.SIGKILL)
    (refused,) = failures([loading])
    assert refused.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "SIGKILL" in refused.details()
    assert not victims()
    assert ask(serving).served_by.version == "1"
    shutil.rmtree(folder)


def test_the_metrics_of_a_version_end_after_it_and_those_of_the_other_go_on(serving: ServerProcess) -> None:
    serving.admin.LoadVersion(admin_pb2.LoadVersionRequest(version="2"), timeout=SECONDS)
    ask(serving, "int8@2")
    assert serving.metric("twinserve_requests_total", version="2") > 0
    before = serving.metric("twinserve_requests_total", version="1")
    serving.admin.UnloadVersion(admin_pb2.UnloadVersionRequest(version="2"), timeout=SECONDS)
    wait_until(lambda: not [name for name, labels in serving.scrape() if ("version", "2") in labels], SECONDS)
    ask(serving, "int8")
    assert serving.metric("twinserve_requests_total", version="1") == before + 1


def test_health_tells_of_each_version(serving: ServerProcess) -> None:
    health = health_pb2_grpc.HealthStub(serving.channel)

    def status(service: str) -> int:
        return int(health.Check(health_pb2.HealthCheckRequest(service=service), timeout=SECONDS).status)

    serving.admin.LoadVersion(admin_pb2.LoadVersionRequest(version="2"), timeout=SECONDS)
    wait_until(lambda: status("tiny/int8@2") == health_pb2.HealthCheckResponse.SERVING, SECONDS)
    serving.admin.UnloadVersion(admin_pb2.UnloadVersionRequest(version="2"), timeout=SECONDS)
    wait_until(lambda: status("tiny/int8@2") == health_pb2.HealthCheckResponse.NOT_SERVING, SECONDS)
    assert status("tiny/int8") == status("") == health_pb2.HealthCheckResponse.SERVING
