"""Start, refusal to start, drain, and what happens to requests on the way."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.odd_artefacts import saved, script, write_model
from support.server_process import TRANSPORTS, ServerProcess, failures, request, wait_until
from support.tiny_model import POISON, classes_of, items
from twinserve.v1 import admin_pb2, admin_pb2_grpc, predict_pb2, predict_pb2_grpc
from twinserve_client import Client, InternalError

Serve = Callable[..., ServerProcess]


def run_serve(*flags: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "twinserve_server", "--port", "0", "--metrics-port", "0", *flags],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
        env={"COLUMNS": "300", "PATH": ""},
    )


def one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        (None, "is not there; name another folder, or build it with `twinserve models build --models"),
        ([], "(it is empty); name another folder, or build models there with"),
        (["app/", "notes.txt"], "(found: app/, notes.txt); name another folder"),
    ],
)
def test_a_named_folder_without_models_is_an_error_and_stays_as_it_was(
    tmp_path: Path, entries: list[str] | None, found: str
) -> None:
    folder = tmp_path / "typo"
    for name in entries or []:
        (folder / name).mkdir(parents=True) if name.endswith("/") else (folder / name).touch()
    if entries == []:
        folder.mkdir()
    ended = run_serve("--models", str(folder))
    assert ended.returncode == 1
    assert found in one_line(ended.stderr)
    assert folder.exists() == (entries is not None)
    assert sorted(path.name for path in tmp_path.glob("typo/*")) == [name.rstrip("/") for name in entries or []]


def test_a_models_folder_of_somebody_else_is_not_built_into(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "user.py").touch()
    ended = run_serve(folder=tmp_path)
    assert ended.returncode == 1
    assert "model folder models: holds no <model>/<version>/manifest.json (found: user.py)" in one_line(ended.stderr)


def test_a_ready_file_that_cannot_be_written_is_named_before_anything_starts(tiny_models: Path, tmp_path: Path) -> None:
    for path, why in (
        (tmp_path / "missing" / "ready.json", f"there is no folder {tmp_path / 'missing'}"),
        (tmp_path, f"{tmp_path} is a folder; name a file"),
    ):
        ended = run_serve("--models", str(tiny_models), "--ready-file", str(path))
        assert ended.returncode == 2
        assert "--ready-file:" in ended.stderr
        assert why in one_line(ended.stderr)
        assert "model_ready" not in ended.stderr


@pytest.mark.parametrize("option", ["--port", "--metrics-port"])
def test_a_used_port_is_named(tiny_models: Path, option: str) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run_serve("--models", str(tiny_models), option, str(port))
    assert ended.returncode == 2
    assert f"{option}: cannot listen on 127.0.0.1:{port} (Address already in use)" in one_line(ended.stderr)


def test_a_corrupt_artefact_is_named(tiny_models: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_models, tmp_path / "models")
    artefact = tmp_path / "models" / "tiny" / "1" / "int8.onnx"
    artefact.write_bytes(artefact.read_bytes()[:-7])
    ended = run_serve("--models", str(tmp_path / "models"))
    assert ended.returncode == 1
    assert "int8.onnx: is corrupt:" in one_line(ended.stderr)


def test_an_artefact_that_does_not_fit_its_manifest_is_named(tiny_models: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_models, tmp_path / "models")
    path = tmp_path / "models" / "tiny" / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["output"]["labels"].append("fox")
    path.write_text(json.dumps(manifest))
    ended = run_serve("--models", str(tmp_path / "models"))
    assert ended.returncode == 1
    assert "forward() returned 1 x 5 for 1 item; 1 x 6 (items x classes) is expected" in one_line(ended.stderr)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--split", "int4=0.1"], "--split: no variant 'int4'; there are: fp32, int8"),
        (["--split", "int8=1.5"], "--split: int8=1.5: a share lies within 0..1"),
        (["--split", "int8"], "write VARIANT=VALUE"),
        (["--preferred-batch-sizes", "a"], "--preferred-batch-sizes: 'a' is no whole number"),
        (["--replicas", "int8=0"], "int8=0: 1..64 replicas are possible"),
        (["--gateways", "-1"], "--gateways: Input should be greater than or equal to 0 (given: -1)"),
        (["--transport", "carrier-pigeon"], "--transport: Input should be 'auto', 'aio', 'fast' or 'native'"),
        (["--default-model", "other"], "--default-model: no model 'other'; there are: tiny"),
    ],
)
def test_a_wrong_flag_is_named_with_its_value(tiny_models: Path, flags: list[str], message: str) -> None:
    ended = run_serve("--models", str(tiny_models), *flags)
    assert ended.returncode == 2
    assert message in one_line(ended.stderr)
    assert "Traceback" not in ended.stderr


def test_the_plan_is_explained_without_serving(tiny_models: Path) -> None:
    ended = run_serve("--models", str(tiny_models), "--explain-plan", "--gateways", "3", "--replicas", "int8=2")
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("3 gateways on ")
    assert [line.split(":")[0] for line in lines[1:3]] == [
        "1 model process of tiny/fp32",
        "2 model processes of tiny/int8",
    ]
    assert "gRPC" not in ended.stderr


def test_every_option_may_stand_in_the_environment(
    tiny_models: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINSERVE_VARIANTS", "int8")
    monkeypatch.setenv("TWINSERVE_REPLICAS", "int8=2")
    monkeypatch.setenv("TWINSERVE_GATEWAYS", "1")
    server = serve(tiny_models)
    names = {process.name for process in server.processes()}
    assert names == {"gateway-0", "tiny-int8-0", "tiny-int8-1"}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_sigterm_answers_what_was_accepted_says_not_serving_and_exits_0(
    odd_models: Path, serve: Serve, transport: str
) -> None:
    server = serve(odd_models, "--transport", transport, "--variants", "slow", "--replicas", "slow=1")
    pixels = items(1)
    answers = [server.predict.Predict.future(request(pixels), timeout=30) for _ in range(20)]
    answers[0].result()
    health = health_pb2_grpc.HealthStub(server.channel)
    states, other = (health.Watch(health_pb2.HealthCheckRequest()) for _ in range(2))
    assert next(states).status == next(other).status == health_pb2.HealthCheckResponse.SERVING
    other.cancel()
    server.process.send_signal(signal.SIGTERM)
    seen: list[int] = []

    def watch() -> None:
        try:
            seen.extend(state.status for state in states)
        except grpc.RpcError:
            return

    watcher = threading.Thread(target=watch)
    watcher.start()
    for answer in answers:
        assert list(answer.result().classes) == classes_of(pixels).tolist()
    assert server.process.wait(30) == 0
    watcher.join(10)
    assert seen == [health_pb2.HealthCheckResponse.NOT_SERVING]
    # It ended by itself: who watches does not keep a server from ending.
    assert states.code() is grpc.StatusCode.OK
    assert not server.ready_file.exists()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_signal_to_the_whole_group_drains_like_one_to_the_supervisor(
    odd_models: Path, serve: Serve, transport: str
) -> None:
    """`timeout`, a terminal and service managers signal every process at once."""
    server = serve(odd_models, "--transport", transport, "--variants", "slow", "--max-batch-size", "1")
    pids = [process.pid for process in server.processes()]
    pixels = items(1)
    answers = [server.predict.Predict.future(request(pixels), timeout=60) for _ in range(20)]
    answers[0].result()
    for pid in (*pids, server.process.pid, *pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    for answer in answers:
        assert list(answer.result().classes) == classes_of(pixels).tolist()
    assert server.process.wait(60) == 0
    assert "process_ended" not in server.log()


def test_a_second_ctrl_c_does_not_wait_for_the_drain(odd_models: Path, serve: Serve) -> None:
    server = serve(odd_models, "--variants", "slow", "--max-batch-size", "1", "--grace", "600")
    answers = [server.predict.Predict.future(request(items(1)), timeout=600) for _ in range(400)]
    answers[0].result()
    server.process.send_signal(signal.SIGINT)
    wait_until(lambda: "draining" in server.log(), 30, server.log)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(60) == 130
    assert {error.code() for error in failures(answers)} == {grpc.StatusCode.UNAVAILABLE}


def test_a_server_serves_on_when_nobody_reads_its_log(tiny_models: Path, tmp_path: Path) -> None:
    read, write = os.pipe()
    ready = tmp_path / "ready.json"
    command = [sys.executable, "-m", "twinserve_server", "--models", str(tiny_models), "--ready-file", str(ready)]
    with subprocess.Popen([*command, "--port", "0", "--metrics-port", "0", "--gateways", "1"], stderr=write) as process:
        os.close(write)
        os.close(read)
        try:
            wait_until(lambda: ready.exists() or process.poll() is not None, 60)
            with grpc.insecure_channel(f"127.0.0.1:{json.loads(ready.read_text())['grpc_port']}") as channel:
                stubs = predict_pb2_grpc.PredictServiceStub(channel), admin_pb2_grpc.AdminServiceStub(channel)

                def fp32() -> admin_pb2.ProcessStatus:
                    status = stubs[1].GetStatus(admin_pb2.GetStatusRequest(), timeout=30)
                    return next(entry for entry in status.processes if entry.name == "tiny-fp32-0")

                os.kill(fp32().pid, signal.SIGKILL)
                wait_until(lambda: fp32().restarts == 1 and fp32().ready, 60)
                assert stubs[0].Predict(request(items(1), variant="fp32"), timeout=60).classes
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_nothing_is_left_running_after_a_stop(tiny_models: Path, serve: Serve) -> None:
    server = serve(tiny_models)
    pids = [process.pid for process in server.processes()]
    assert len(pids) >= 3
    assert server.stop() == 0
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 10)


def test_nothing_is_left_running_when_the_supervisor_is_killed(tiny_models: Path, serve: Serve) -> None:
    server = serve(tiny_models)
    pids = [process.pid for process in server.processes()]
    server.process.kill()
    server.process.wait(10)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 10)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_request_past_its_deadline_is_not_run(odd_models: Path, serve: Serve, transport: str) -> None:
    server = serve(
        odd_models,
        "--transport",
        transport,
        "--variants",
        "slow",
        "--replicas",
        "slow=1",
        "--max-batch-size",
        "1",
        "--gateways",
        "1",
    )
    pixels = items(1)
    patient = [server.predict.Predict.future(request(pixels), timeout=30) for _ in range(20)]
    wait_until(lambda: server.metric("grpc_server_started_total", grpc_method="Predict") == 20, 10)
    hasty = [server.predict.Predict.future(request(pixels), timeout=0.1) for _ in range(8)]
    assert [error.code() for error in failures(hasty)] == [grpc.StatusCode.DEADLINE_EXCEEDED] * 8
    for call in patient:
        call.result()
    # One more: when it is answered, everything before it has left the queue.
    server.predict.Predict(request(pixels), timeout=30)
    passes = server.metric("twinserve_batch_size_images_count", variant="slow")
    # Those that nobody waits for did not run, but for one or two that had started. (On a busy machine a deadline may
    # pass before the request has reached the server.)
    assert 21 <= passes <= 24
    late = server.metric("grpc_server_started_total", grpc_method="Predict") - 21
    assert late > 0
    # A caller's deadline that comes well before the server's view of it looks like a caller that left.
    ends = ("DEADLINE_EXCEEDED", "CANCELLED")
    assert sum(server.metric("grpc_server_handled_total", grpc_method="Predict", grpc_code=end) for end in ends) == late
    assert sum(server.metric("twinserve_requests_total", code=end) for end in ends) == late
    assert server.metric("twinserve_requests_total", code="DEADLINE_EXCEEDED") > 0


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_request_whose_caller_is_gone_is_not_run(odd_models: Path, serve: Serve, transport: str) -> None:
    server = serve(
        odd_models,
        "--transport",
        transport,
        "--variants",
        "slow",
        "--replicas",
        "slow=1",
        "--max-batch-size",
        "1",
        "--gateways",
        "1",
    )
    pixels = items(1)
    patient = [server.predict.Predict.future(request(pixels), timeout=30) for _ in range(8)]
    gone = [server.predict.Predict.future(request(pixels), timeout=30) for _ in range(8)]
    wait_until(lambda: server.metric("grpc_server_started_total", grpc_method="Predict") == 16, 10)
    for call in gone:
        call.cancel()
    for call in patient:
        call.result()
    server.predict.Predict(request(pixels), timeout=30)
    passes = server.metric("twinserve_batch_size_images_count", variant="slow")
    # Seventeen were sent; the eight that nobody waits for did not run, but for one or two that had started.
    assert 9 <= passes <= 12
    # A request that was being answered when its caller left may count as OK.
    cancelled = server.metric("grpc_server_handled_total", grpc_method="Predict", grpc_code="CANCELLED")
    assert 6 <= cancelled <= 8
    assert server.metric("twinserve_requests_total", code="CANCELLED") == cancelled


def test_of_a_failing_batch_only_the_poisoned_requests_fail(odd_models: Path, serve: Serve) -> None:
    # Held back, so that good and poisoned requests do share batches.
    server = serve(odd_models, "--variants", "fragile", "--gateways", "1", "--max-queue-delay-us", "200000")
    good, poisoned = items(1), items(1)
    poisoned[0, 3, 3] = POISON
    calls = [
        server.predict.Predict.future(request(poisoned if index % 5 == 0 else good), timeout=30) for index in range(50)
    ]
    for error in failures(calls[::5]):
        assert error.code() is grpc.StatusCode.INTERNAL
        assert "variant 'fragile': the forward pass failed" in error.details()
    assert len(failures(calls)) == 10
    for index, call in enumerate(calls):
        if index % 5:
            assert list(call.result().classes) == classes_of(good).tolist()
    became = {
        outcome: server.metric("twinserve_failed_batch_images_total", outcome=outcome)
        for outcome in ("rescued", "poisoned", "not_run")
    }
    assert (became["poisoned"], became["not_run"]) == (10, 0)
    assert became["rescued"] >= 1
    assert 1 <= server.metric("twinserve_failed_batches_total") <= 10


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return x[:1, :3].softmax(1)", "takes 1 item, but not 8: forward() returned 1 x 3 for 8 items"),
        ("return x[:, :3] > 0", "forward() returned a tensor of torch.bool"),
        ("return x[:, :3]", "forward() returns rows that sum to"),
        ("return (x[:, :3] / 0.0).softmax(1)", "forward() returns NaN for valid input"),
    ],
)
def test_an_artefact_that_cannot_be_served_is_one_line_and_exit_code_1(tmp_path: Path, body: str, said: str) -> None:
    ended = run_serve("--models", str(write_model(tmp_path / "models", saved(script(body)))))
    assert ended.returncode == 1
    assert said in one_line(ended.stderr)
    assert "Traceback" not in ended.stderr
    assert "process_ended" not in ended.stderr


def test_values_outside_of_the_stated_range_are_refused(odd_models: Path, serve: Serve) -> None:
    server = serve(odd_models, "--variants", "fp32", "--gateways", "1")
    floats = np.full((2, 4, 4), 0.5, np.float32)
    floats[1, 0, 3] = 255
    given = predict_pb2.Tensor(datatype=predict_pb2.DATA_TYPE_FP32, shape=floats.shape, data=floats.tobytes())
    with pytest.raises(grpc.RpcError) as caught:
        server.predict.Predict(predict_pb2.PredictRequest(input=given), timeout=30)
    assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
    assert "input.data: holds 255 at element 19; tiny takes 0 to 1, and 1 of 32 values" in (
        caught.value.details() or ""
    )


def test_without_batching_not_even_the_requests_of_two_gateways_share_a_pass(tiny_models: Path, serve: Serve) -> None:
    server = serve(tiny_models, "--no-batching", "--gateways", "2")
    channels = [server.connect() for _ in range(16)]
    stubs: Any = [predict_pb2_grpc.PredictServiceStub(channel) for channel in channels]
    calls = [stub.Predict.future(request(items(1)), timeout=30) for _ in range(40) for stub in stubs]
    assert failures(calls) == []
    gateways = {dict(labels)["gateway"] for name, labels in server.scrape() if name == "twinserve_in_flight_images"}
    assert len(gateways) == 2
    assert server.metric("twinserve_batch_size_images_count") == server.metric("twinserve_batch_size_images_sum") == 640


def test_the_sdk_tells_the_id_that_the_server_gave_a_failed_request(odd_models: Path, serve: Serve) -> None:
    server = serve(odd_models, "--variants", "fragile", "--gateways", "1")
    poisoned = items(1)
    poisoned[0, 3, 3] = POISON
    with Client(server.target) as client, pytest.raises(InternalError) as caught:
        client.predict(poisoned)
    assert re.fullmatch(r"0-[0-9a-f]{8}-1", caught.value.request_id)


def test_a_full_queue_refuses_and_says_when_to_try_again(odd_models: Path, serve: Serve) -> None:
    server = serve(
        odd_models, "--variants", "slow", "--replicas", "slow=1", "--max-queue-images", "4", "--gateways", "1"
    )
    calls = [server.predict.Predict.future(request(items(4)), timeout=60) for _ in range(12)]
    refused = failures(calls)
    assert refused
    assert len(refused) < len(calls)
    for error in refused:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "would pass its limit of 4; try again later" in error.details()
    assert server.metric("twinserve_refused_total", reason="QUEUE_FULL") == len(refused)


def test_variants_never_wait_for_each_other(odd_models: Path, serve: Serve) -> None:
    server = serve(
        odd_models, "--variants", "slow,fp32", "--replicas", "slow=1,fp32=1", "--max-batch-size", "1", "--gateways", "1"
    )
    pixels = items(1)
    slow = [server.predict.Predict.future(request(pixels, variant="slow"), timeout=60) for _ in range(10)]
    for _ in range(20):
        server.predict.Predict(request(pixels, variant="fp32"), timeout=30)
    assert not all(call.done() for call in slow)
    for call in slow:
        call.result()
