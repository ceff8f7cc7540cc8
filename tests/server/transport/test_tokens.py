"""A server with a token file: who gets in on which call, on both transports, and what a rotation costs: nothing."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from typer.testing import CliRunner

from support.server_process import TRANSPORTS, ServerProcess, request, wait_until
from support.tiny_model import items
from twinserve.v1 import admin_pb2, admin_pb2_grpc, predict_pb2, predict_pb2_grpc
from twinserve_client import Client, PermissionDeniedError, UnauthenticatedError
from twinserve_client.cli import traffic as traffic_command
from twinserve_server.access.token_file import create_token, revoke_token

Metadata = tuple[tuple[str, str], ...]


class Tokens:
    """A token file and the secrets behind it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.secrets = {name: create_token(path, name, [name]) for name in ("predict", "metrics", "admin")}

    def metadata(self, name: str) -> Metadata:
        return (("authorization", f"Bearer {self.secrets[name]}"),)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return Tokens(tmp_path_factory.mktemp("tokens") / "tokens")


@pytest.fixture(scope="module", params=TRANSPORTS)
def server(
    request: pytest.FixtureRequest, tokens: Tokens, tiny_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    flags = ("--transport", request.param, "--gateways", "1", "--tokens", str(tokens.path))
    with ServerProcess(tiny_models, tmp_path_factory.mktemp("server"), *flags) as process:
        process.headers = dict(tokens.metadata("metrics"))
        yield process


def unary(server: ServerProcess, method: str, message: Any) -> Any:
    """A call of ``method`` that sends bytes as they are."""
    return server.channel.unary_unary(f"/twinserve.v1.PredictService/{method}")(message, timeout=10)


#: Every kind of method of the service: by callbacks, by a coroutine, and a stream.
CALLS: dict[str, Callable[[ServerProcess, Metadata], Any]] = {
    "Predict": lambda server, metadata: server.predict.Predict(request(items(1)), metadata=metadata, timeout=10),
    "Compare": lambda server, metadata: server.predict.Compare(
        predict_pb2.CompareRequest(input=request(items(1)).input), metadata=metadata, timeout=10
    ),
    "PredictStream": lambda server, metadata: list(
        server.predict.PredictStream(iter([request(items(1))]), metadata=metadata, timeout=10)
    ),
    "DescribeModel": lambda server, metadata: server.predict.DescribeModel(
        predict_pb2.DescribeModelRequest(), metadata=metadata, timeout=10
    ),
}


@pytest.fixture(params=CALLS)
def call(request: pytest.FixtureRequest) -> Any:
    return CALLS[request.param]


class TestAMethodOfTheService:
    @pytest.mark.parametrize("name", ["predict", "admin"])
    def test_answers_a_token_whose_role_fits(self, server: ServerProcess, tokens: Tokens, call: Any, name: str) -> None:
        assert call(server, tokens.metadata(name))

    @pytest.mark.parametrize(
        ("metadata", "said"),
        [
            ((), "a token is needed"),
            ((("authorization", "Basic YTpi"),), "is not a bearer token"),
            ((("authorization", "Bearer"),), "is not known here"),
            ((("authorization", "Bearer twinserve_wrong"),), "is not known here"),
        ],
        ids=["none", "another scheme", "an empty one", "a wrong one"],
    )
    def test_refuses_everybody_else_and_says_what_it_wants(
        self, server: ServerProcess, call: Any, metadata: Metadata, said: str
    ) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            call(server, metadata)
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert said in error.details()
        assert dict(error.trailing_metadata())["www-authenticate"] == 'Bearer realm="twinserve"'

    def test_denies_a_token_with_another_role_and_names_both(
        self, server: ServerProcess, tokens: Tokens, call: Any
    ) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            call(server, tokens.metadata("metrics"))
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.PERMISSION_DENIED
        assert error.details() == "the token 'metrics' has the role metrics; this needs the role predict"


@pytest.mark.parametrize("method", ["Predict", "Compare"])
def test_a_stranger_is_refused_before_the_message_is_decoded(server: ServerProcess, method: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        unary(server, method, b"\xff" * 100)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("method", ["Predict", "Compare"])
def test_refusals_are_counted_under_their_status(server: ServerProcess, tokens: Tokens, method: str) -> None:
    def counted(code: str) -> float:
        return server.metric("grpc_server_handled_total", grpc_method=method, grpc_code=code)

    before = {code: counted(code) for code in ("UNAUTHENTICATED", "PERMISSION_DENIED")}
    for metadata in ((), tokens.metadata("metrics")):
        with pytest.raises(grpc.RpcError):
            CALLS[method](server, metadata)
    for code, count in before.items():
        wait_until(lambda code=code, count=count: counted(code) == count + 1, 10)


class TestAdminCalls:
    """They have a port of their own."""

    def test_are_answered_there_to_a_token_with_the_role(self, server: ServerProcess, tokens: Tokens) -> None:
        assert server.admin_target != server.target
        question = admin_pb2.GetTrafficRequest()
        assert server.admin.GetTraffic(question, metadata=tokens.metadata("admin"), timeout=10).traffic.weights

    @pytest.mark.parametrize(
        ("name", "code"), [("predict", "PERMISSION_DENIED"), ("metrics", "PERMISSION_DENIED"), ("", "UNAUTHENTICATED")]
    )
    def test_are_refused_to_everybody_else(self, server: ServerProcess, tokens: Tokens, name: str, code: str) -> None:
        metadata = tokens.metadata(name) if name else ()
        change = admin_pb2.SetTrafficRequest(traffic=admin_pb2.Traffic(weights={"int8": 1.0}))
        for door in (server.admin, admin_pb2_grpc.AdminServiceStub(server.channel)):
            with pytest.raises(grpc.RpcError) as caught:
                door.SetTraffic(change, metadata=metadata, timeout=10)
            assert caught.value.code().name == code
            assert server.admin_target not in (caught.value.details() or "")

    def test_at_the_other_port_an_admin_is_told_where(self, server: ServerProcess, tokens: Tokens) -> None:
        client = Client(server.target, token=tokens.secrets["admin"])
        with client, pytest.raises(PermissionDeniedError) as caught:
            client.get_status()
        assert f"admin calls are answered on {server.admin_target} only" in caught.value.message

    def test_nothing_else_is_answered_there_but_health(self, server: ServerProcess, tokens: Tokens) -> None:
        predict = predict_pb2_grpc.PredictServiceStub(server.admin_channel)
        with pytest.raises(grpc.RpcError) as caught:
            predict.Predict(request(items(1)), metadata=tokens.metadata("admin"), timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        health = health_pb2_grpc.HealthStub(server.admin_channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING

    def test_reach_it_from_the_sdk_and_the_command_line(
        self, server: ServerProcess, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Client(server.target, token=tokens.secrets["admin"], admin_target=server.admin_target) as client:
            before = client.get_traffic()
            changed = client.set_traffic({"int8": 1.0}, if_generation=before.generation)
            assert client.predict(items(1)).variant == "int8"
            client.set_traffic(before.weights, if_generation=changed.generation)
            assert client.get_status().processes
        monkeypatch.setenv("TWINSERVE_TOKEN", tokens.secrets["admin"])
        words = ["--target", server.target, "--admin-target", server.admin_target]
        result = CliRunner().invoke(traffic_command.app, words)
        assert result.exit_code == 0, result.output
        refused = CliRunner().invoke(traffic_command.app, words[:2])
        assert refused.exit_code == 1
        assert "give it as --admin-target" in refused.stderr


def test_health_is_open_and_reflection_is_not(server: ServerProcess, tokens: Tokens) -> None:
    """What watches a server holds no token; what it serves is nobody else's business."""
    health = health_pb2_grpc.HealthStub(server.channel)
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=10).status == health_pb2.HealthCheckResponse.SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(server.channel).ServerReflectionInfo
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    with pytest.raises(grpc.RpcError) as caught:
        list(reflection(iter([question]), timeout=10))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert list(reflection(iter([question]), metadata=tokens.metadata("predict"), timeout=10))


def test_the_sdk_sends_its_token_and_raises_what_the_status_means(server: ServerProcess, tokens: Tokens) -> None:
    with Client(server.target, token=tokens.secrets["predict"]) as client:
        assert client.predict(items(1)).classes.size == 1
    with Client(server.target) as client, pytest.raises(UnauthenticatedError) as caught:
        client.predict(items(1))
    assert caught.value.reason == "UNAUTHENTICATED"
    with Client(server.target, token=tokens.secrets["metrics"]) as client, pytest.raises(PermissionDeniedError):
        client.predict(items(1))


def test_a_rotation_under_load_fails_nobody_and_ends_the_old_token(server: ServerProcess, tokens: Tokens) -> None:
    old = create_token(tokens.path, "old", ["predict"])
    in_use, failures, answered, stop = [old], list[BaseException](), [0], threading.Event()

    def load() -> None:
        while not stop.is_set():
            metadata = (("authorization", f"Bearer {in_use[0]}"),)
            try:
                server.predict.Predict(request(items(1)), metadata=metadata, timeout=10)
                answered[0] += 1
            except grpc.RpcError as error:
                failures.append(error)

    def accepted(secret: str) -> bool:
        try:
            server.predict.Predict(request(items(1)), metadata=(("authorization", f"Bearer {secret}"),), timeout=10)
        except grpc.RpcError:
            return False
        return True

    wait_until(lambda: accepted(old), 10)
    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for generation in range(3):
            new = create_token(tokens.path, f"new{generation}", ["predict"])
            wait_until(lambda new=new: accepted(new), 10)
            before, in_use[0] = in_use[0], new
            # Requests that carry the one before are answered before it goes.
            mark = answered[0]
            wait_until(lambda mark=mark: answered[0] > mark + 2 * len(threads), 10)
            revoke_token(tokens.path, "old" if not generation else f"new{generation - 1}")
            wait_until(lambda before=before: not accepted(before), 10)
            # A file that breaks meanwhile changes nothing.
            good = tokens.path.read_text()
            tokens.path.write_text("half a li")
            wait_until(lambda count=generation + 1: server.log().count("tokens_not_read") >= count, 10)
            assert accepted(new)
            tokens.path.write_text(good)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        wait_until(lambda: accepted(in_use[0]), 10)
        revoke_token(tokens.path, "new2")
    assert not failures
    assert answered[0] > 20


def test_a_gateway_restarted_while_the_file_is_broken_has_the_tokens_in_force(
    tiny_models: Path, tmp_path: Path
) -> None:
    tokens = Tokens(tmp_path / "tokens")
    with ServerProcess(tiny_models, tmp_path / "server", "--gateways", "1", "--tokens", str(tokens.path)) as server:
        status = server.admin.GetStatus(
            admin_pb2.GetStatusRequest(), metadata=tokens.metadata("admin"), timeout=10, wait_for_ready=True
        )
        (gateway,) = (process for process in status.processes if process.role == "gateway")
        tokens.path.write_text("broken")
        os.kill(gateway.pid, signal.SIGKILL)
        with Client(server.target, token=tokens.secrets["predict"]) as client:
            client.wait_until_ready(60)
            assert client.predict(items(1)).classes.size == 1
        with Client(server.target) as client, pytest.raises(UnauthenticatedError):
            client.predict(items(1))


def test_a_file_that_cannot_be_used_ends_the_start(tiny_models: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"ended with 2(?s:.*)--tokens: .*tokens: cannot be read"):
        ServerProcess(tiny_models, tmp_path, "--tokens", str(tmp_path / "tokens")).__enter__()
