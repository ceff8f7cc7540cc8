"""What a caller sees is the same on all transports, in plain text and over TLS, in the corners of the protocol.

Answers, statuses and metrics of whole requests are tested on both in ``test_predict``; deadlines, cancellation and the
drain in ``engine/test_requests`` and ``supervisor/test_drain``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.raw_http2 import DATA, END_STREAM, HEADERS, connect, frame, headers, message, read, varint
from support.server_process import TLS_TRANSPORTS, TRANSPORTS, ServerProcess, request, wait_until
from support.tiny_model import classes_of, items
from twinserve.v1 import predict_pb2, predict_pb2_grpc

STREAM = "PredictStream"


SERVED = [
    *(pytest.param((transport, "plain", "isolated"), id=transport) for transport in TRANSPORTS),
    *(
        pytest.param((transport, "tls", "isolated"), id=f"{transport}-tls", marks=pytest.mark.tls)
        for transport in TLS_TRANSPORTS
    ),
    pytest.param(("fast", "plain", "edge"), id="edge"),
]


@pytest.fixture(scope="module", params=SERVED)
def served(request: pytest.FixtureRequest) -> Any:
    """A transport, the folder of certificates (None: plain text), and a profile."""
    transport, security, profile = request.param
    return transport, request.getfixturevalue("certificates") if security == "tls" else None, profile


@pytest.fixture(scope="module")
def server(
    served: tuple[str, Path | None, str], odd_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """One gateway, so that counts are exact; messages up to 1 MiB."""
    transport, certified, profile = served
    variants = ("--variants", "fp32,slow", "--replicas", "slow=1,fp32=1")
    flags = ("--profile", profile, "--transport", transport, "--gateways", "1", *variants)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TWINSERVE_MAX_MESSAGE_MIB", "1")
        with ServerProcess(odd_models, tmp_path_factory.mktemp("server"), *flags, certificates=certified) as process:
            process.transport = transport
            yield process


def handled(server: ServerProcess, method: str, code: str) -> float:
    return server.metric("grpc_server_handled_total", grpc_method=method, grpc_code=code)


def peak_mib(pid: int) -> float:
    """The most memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def ended(server: ServerProcess, method: str, *codes: str) -> float:
    """RPCs that ended with one of ``codes``, once none is under way: a caller may see the end before it is counted."""

    def under_way() -> float:
        counted = server.metric("grpc_server_handled_total", grpc_method=method)
        return server.metric("grpc_server_started_total", grpc_method=method) - counted

    wait_until(lambda: under_way() == 0, 10, lambda: f"{under_way()} {method} under way")
    return sum(handled(server, method, code) for code in codes)


def test_the_build_info_names_the_transport_in_use(server: Any) -> None:
    assert server.metric("twinserve_build_info", transport=server.transport) == 1


def test_a_message_over_the_limit_is_refused_and_the_connection_lives_on(server: Any) -> None:
    before = handled(server, "Predict", "CANCELLED")
    with pytest.raises(grpc.RpcError) as caught:
        server.predict.Predict(predict_pb2.PredictRequest(routing_key="x" * (1 << 20)), timeout=10)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "1048576" in (caught.value.details() or "")
    assert server.predict.Predict(request(items(1)), timeout=10).classes
    # It was never a request: on neither transport does it count as one.
    assert handled(server, "Predict", "CANCELLED") == before
    assert handled(server, "Predict", "RESOURCE_EXHAUSTED") == 0


def test_a_message_just_below_the_limit_arrives_whole(server: Any) -> None:
    pixels = items(1024)
    padding = (1 << 20) - len(request(pixels).SerializeToString()) - 64
    sent = predict_pb2.PredictRequest(input=request(pixels).input)
    sent.MergeFromString(b"\x7a" + varint(padding) + bytes(padding))  # an unknown field, which is skipped
    answer = server.predict.Predict(sent, timeout=30)
    assert list(answer.classes) == classes_of(pixels).tolist()


def test_refused_requests_leave_no_memory_behind(server: Any) -> None:
    """An error whose traceback holds the request would keep it until the collector of cycles comes by."""
    pixels = bytes(900_000)
    wrong = predict_pb2.Tensor(datatype=predict_pb2.DATA_TYPE_UINT8, shape=[9, 100_000], data=pixels)
    health = health_pb2_grpc.HealthStub(server.channel)
    refused: tuple[Any, ...] = (
        lambda: server.predict.Predict(predict_pb2.PredictRequest(input=wrong), timeout=10),
        lambda: server.predict.Compare(predict_pb2.CompareRequest(input=wrong), timeout=10),
        lambda: server.predict.SendFeedback(predict_pb2.SendFeedbackRequest(request_id="x" * 900_000), timeout=10),
        lambda: health.Check(health_pb2.HealthCheckRequest(service="x" * 900_000), timeout=10),
    )
    (gateway,) = [process for process in server.processes() if process.role == "gateway"]
    for call in refused:
        before = peak_mib(gateway.pid)
        for _ in range(150):
            with pytest.raises(grpc.RpcError) as caught:
                call()
            assert caught.value.code() in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
        assert peak_mib(gateway.pid) - before < 60


#: Requests of each kind of handler that are refused: by a callback, by a coroutine, by gRPC's own servicer.
REFUSED = {
    "/twinserve.v1.PredictService/Predict": predict_pb2.PredictRequest(variant="none"),
    "/twinserve.v1.PredictService/DescribeModel": predict_pb2.DescribeModelRequest(model="none"),
    "/grpc.health.v1.Health/Check": health_pb2.HealthCheckRequest(service="none"),
}


@pytest.mark.parametrize("path", REFUSED)
def test_a_refusal_is_a_status_and_nothing_else(server: Any, certificates: Path, path: str) -> None:
    """gRPC clients do not retry a call once its answer has begun (gRFC A6), be it with an empty message."""
    sent = REFUSED[path].SerializeToString()
    body = b"\0" + len(sent).to_bytes(4, "big") + sent
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")
    with connect(server, certificates) as sock:
        sock.sendall(preface + frame(HEADERS, 4, 1, headers(path)) + frame(DATA, END_STREAM, 1, body))
        while True:
            head = read(sock, 9)
            read(sock, int.from_bytes(head[:3], "big"))
            if int.from_bytes(head[5:9], "big") == 1 and head[3] in {HEADERS, DATA}:
                break
    assert (head[3], head[4] & END_STREAM) == (HEADERS, END_STREAM)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_compressed_request_is_understood(server: Any, compression: grpc.Compression) -> None:
    pixels = items(200)
    if (server.transport, compression) == ("native", grpc.Compression.Deflate):
        with pytest.raises(grpc.RpcError) as caught:
            server.predict.Predict(request(pixels), timeout=10, compression=compression)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        return
    answer = server.predict.Predict(request(pixels), timeout=10, compression=compression)
    assert list(answer.classes) == classes_of(pixels).tolist()


def test_foreign_metadata_does_not_matter(server: Any) -> None:
    metadata = (("traceparent", "00-" + "a" * 32 + "-" + "b" * 16 + "-01"), ("blob-bin", bytes(range(256))))
    assert server.predict.Predict(request(items(1)), timeout=10, metadata=metadata).classes


@pytest.mark.parametrize("method", ["Predict", "Compare"])
def test_a_call_without_a_message_ends(server: Any, method: str) -> None:
    call = server.channel.stream_unary(f"/twinserve.v1.PredictService/{method}")
    with pytest.raises(grpc.RpcError) as caught:
        call(iter(()), timeout=30)
    # The native transport's library answers by itself where it does not forward.
    by_itself = (server.transport, method) == ("native", "Predict")
    assert caught.value.code() is (grpc.StatusCode.INTERNAL if by_itself else grpc.StatusCode.UNIMPLEMENTED)


def test_a_request_that_arrives_in_pieces_is_answered(server: Any, certificates: Path) -> None:
    """Bytes on the wire, cut at every place that hurts: within the preface, a frame's head, the message."""
    body = b"\0" + len(message()).to_bytes(4, "big") + message()
    wire = (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + frame(4, 0, 0, b"")
        + frame(1, 4, 1, headers("/twinserve.v1.PredictService/Predict"))
        + frame(0, 1, 1, body)
    )
    with connect(server, certificates) as sock:
        for start in range(0, len(wire), 5):
            sock.sendall(wire[start : start + 5])
        kinds = []
        while (head := read(sock, 9)) and (head[3], head[4] & 1) != (HEADERS, END_STREAM):
            read(sock, int.from_bytes(head[:3], "big"))
            kinds.append(head[3])
        # Trailers may be packed in any way; that they come after a message says that all is well.
        assert DATA in kinds


def test_a_stream_longer_than_its_window_keeps_order(server: Any) -> None:
    pixels = items(1000, seed=3)
    requests = (request(pixels[index], request_id=f"r{index}", variant="fp32") for index in range(1000))
    answers = [answer.response for answer in server.predict.PredictStream(requests, timeout=60)]
    assert [answer.request_id for answer in answers] == [f"r{index}" for index in range(1000)]
    assert [answer.classes[0] for answer in answers] == classes_of(pixels).tolist()


def test_a_stream_of_large_messages_waits_instead_of_being_refused(server: Any) -> None:
    """Far more images than the queue holds: what does not fit stays on the wire."""
    pixels = items(1000, seed=5)
    answers = list(server.predict.PredictStream((request(pixels) for _ in range(40)), timeout=60))
    assert [answer.WhichOneof("result") for answer in answers] == ["response"] * 40
    assert all(list(answer.response.classes) == classes_of(pixels).tolist() for answer in answers)


def test_an_empty_stream_ends_well(server: Any) -> None:
    before = ended(server, STREAM, "OK")
    assert list(server.predict.PredictStream(iter(()), timeout=10)) == []
    assert ended(server, STREAM, "OK") == before + 1


def test_each_answer_of_a_stream_leaves_before_the_next_request_comes(server: Any) -> None:
    pixels = items(5)
    turn = threading.Semaphore()

    def ask() -> Iterator[predict_pb2.PredictRequest]:
        for index in range(5):
            assert turn.acquire(timeout=10)
            yield request(pixels[index])

    stream = server.predict.PredictStream(ask(), timeout=60)
    for known, answer in zip(classes_of(pixels), stream, strict=True):
        assert list(answer.response.classes) == [known]
        turn.release()


def test_an_error_on_a_stream_stands_in_its_place(server: Any) -> None:
    good, wrong = request(items(1), request_id="good"), predict_pb2.PredictRequest(request_id="wrong")
    unknown = request(items(1), variant="int3", request_id="unknown")
    first, second, third, fourth = server.predict.PredictStream(iter((good, wrong, unknown, good)), timeout=10)
    assert (second.error.code, second.error.request_id) == (grpc.StatusCode.INVALID_ARGUMENT.value[0], "wrong")
    assert (third.error.code, third.error.request_id) == (grpc.StatusCode.NOT_FOUND.value[0], "unknown")
    assert first.response.request_id == fourth.response.request_id == "good"


def test_a_stream_whose_caller_leaves_does_not_run_what_waits(server: Any) -> None:
    cancelled, before = ended(server, STREAM, "CANCELLED"), passes(server, "slow")
    stream = server.predict.PredictStream(request(items(16), variant="slow") for _ in range(40))
    next(stream)
    stream.cancel()
    assert ended(server, STREAM, "CANCELLED") == cancelled + 1
    server.predict.Predict(request(items(1), variant="slow"), timeout=30)
    assert passes(server, "slow") - before < 20


def test_a_stream_ends_at_its_deadline(server: Any) -> None:
    # A caller whose clock is well ahead of the server's view of its deadline looks like one that left.
    codes = ("DEADLINE_EXCEEDED", "CANCELLED")
    before = ended(server, STREAM, *codes)
    answered = threading.Semaphore(3)  # Always some in work, but never so many that they are refused.

    def requests() -> Iterator[predict_pb2.PredictRequest]:
        while answered.acquire(timeout=10):
            yield request(items(1), variant="slow")

    stream = server.predict.PredictStream(requests(), timeout=3)
    next(stream)  # The server has it: on a busy machine a deadline can pass before a stream arrives.
    answered.release()
    with pytest.raises(grpc.RpcError) as caught:  # noqa: PT012  (each answer makes room for a request)
        for _ in stream:
            answered.release()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert ended(server, STREAM, *codes) == before + 1


@pytest.mark.parametrize("leaves", ["at its deadline", "by itself"])
def test_a_silent_stream_whose_caller_leaves_was_not_answered(server: Any, leaves: str) -> None:
    codes = ("DEADLINE_EXCEEDED", "CANCELLED")
    before, good, over = ended(server, STREAM, *codes), ended(server, STREAM, "OK"), threading.Event()

    def silent() -> Iterator[predict_pb2.PredictRequest]:
        over.wait(60)
        yield from ()

    begun = server.metric("grpc_server_started_total", grpc_method=STREAM)
    streams = [server.predict.PredictStream(silent(), timeout=5) for _ in range(4)]
    wait_until(lambda: server.metric("grpc_server_started_total", grpc_method=STREAM) == begun + 4, 60, server.log)
    for stream in streams:
        if leaves == "by itself":
            stream.cancel()
        with pytest.raises(grpc.RpcError):
            next(stream)
    over.set()
    assert ended(server, STREAM, *codes) == before + 4
    assert ended(server, STREAM, "OK") == good


def test_a_watch_of_health_ends_when_its_caller_leaves(server: Any) -> None:
    before = ended(server, "Watch", "CANCELLED")
    watch = health_pb2_grpc.HealthStub(server.channel).Watch(health_pb2.HealthCheckRequest())
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()
    assert ended(server, "Watch", "CANCELLED") == before + 1


def test_an_unknown_service_has_no_health(server: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        health_pb2_grpc.HealthStub(server.channel).Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=10)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_connections_come_and_go(server: Any) -> None:
    pixels = items(1)
    for _ in range(30):
        with server.connect() as channel:
            call = channel.unary_unary("/twinserve.v1.PredictService/Predict")
            answer = predict_pb2.PredictResponse.FromString(call(request(pixels).SerializeToString(), timeout=10))
            assert list(answer.classes) == classes_of(pixels).tolist()


def passes(server: ServerProcess, variant: str) -> float:
    """Forward passes so far."""
    return server.metric("twinserve_batch_size_images_count", variant=variant)


def test_answers_that_are_ready_together_arrive_though_the_stream_stays_open(server: Any) -> None:
    bad = request(items(1)[:, :3])
    for _ in range(30):
        done = threading.Event()
        asked = (message or done.wait(60) or bad for message in (request(items(1)), bad, bad, None))
        with server.connect() as channel:
            stream = predict_pb2_grpc.PredictServiceStub(channel).PredictStream(asked, timeout=30)
            kinds = [next(stream).WhichOneof("result") for _ in range(3)]
            done.set()
        assert kinds == ["response", "error", "error"]


def test_a_request_whose_kind_was_seen_before_is_judged_by_its_own_pixels(server: Any) -> None:
    pixels = items(32, seed=5)
    for _ in range(2):
        calls = [server.predict.Predict.future(request(one[None]), timeout=30) for one in pixels]
        assert [call.result().classes[0] for call in calls] == classes_of(pixels).tolist()
        assert len({call.result().request_id for call in calls}) == len(calls)

    def asked(value: float) -> Any:
        floats = np.full((4, 4), value, "<f4")
        tensor = predict_pb2.Tensor(datatype=predict_pb2.DATA_TYPE_FP32, shape=floats.shape, data=floats.tobytes())
        return server.predict.Predict.future(predict_pb2.PredictRequest(input=tensor), timeout=30)

    before = ended(server, "Predict", "OUT_OF_RANGE")
    for _ in range(2):
        good, wrong = asked(0.5), asked(2.0)
        assert good.result().classes
        assert wrong.exception().code() is grpc.StatusCode.OUT_OF_RANGE
        assert "input.data: holds 2 at element 0; tiny takes 0 to 1, and 16 of 16 values" in wrong.exception().details()
    assert ended(server, "Predict", "OUT_OF_RANGE") == before + 2
