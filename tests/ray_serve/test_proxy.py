"""What a Serve proxy adds to a call, and what a caller reads when no replica answers; on Serve's own gRPC server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest

from twinserve_ray.context import CallContext
from twinserve_ray.proxy import GONE, add_services

PREDICT = "/twinserve.v1.PredictService/Predict"
WATCH = "/grpc.health.v1.Health/Watch"

Behaviour = Callable[[Any, Any], Any]
Start = Callable[..., Any]

#: As the SDK configures gRPC's retries.
RETRIES = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a proxy's server that answers every method as told; a channel to it."""
    # Ray takes seconds to load, and every worker collects these tests.
    from ray.serve._private.grpc_util import gRPCGenericServer

    servers = []

    async def start(behaviour: Behaviour, **config: Any) -> grpc.aio.Channel:
        server = gRPCGenericServer(lambda **_: behaviour)
        servers.append(server)
        add_services(None, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        options = [("grpc.service_config", json.dumps(config))]
        return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)

    yield start
    for server in servers:
        await server.stop(None)


async def test_a_call_is_for_our_application_and_has_the_caller_s_deadline(start: Start) -> None:
    from ray.serve.grpc_util import RayServegRPCContext

    async def tell(request: bytes, context: Any) -> bytes:
        ours = CallContext(RayServegRPCContext(context))
        return json.dumps([dict(ours.invocation_metadata())["application"], ours.time_remaining()]).encode()

    async with await start(tell) as channel:
        application, remaining = json.loads(await channel.unary_unary(PREDICT)(b"", timeout=60))
        assert application == "twinserve"
        assert 0 < remaining <= 61  # gRPC rounds a timeout up
        _, remaining = json.loads(await channel.unary_unary(PREDICT)(b""))
        assert remaining is None


async def test_another_application_may_be_named(start: Start) -> None:
    async def tell(request: bytes, context: Any) -> bytes:
        return str([value for key, value in context.invocation_metadata() if key == "application"]).encode()

    async with await start(tell) as channel:
        call = channel.unary_unary(PREDICT)(b"", metadata=(("application", "canary"),))
        assert await call == b"['canary']"


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE])
async def test_a_call_that_no_replica_answered_may_be_tried_again(start: Start, code: grpc.StatusCode) -> None:
    async def fail(request: bytes, context: Any) -> bytes:
        context.set_code(code)
        context.set_details("The actor died unexpectedly before finishing this task.")
        return b""

    async def fail_midway(request: bytes, context: Any) -> AsyncIterator[bytes]:
        context.set_trailing_metadata([("request_id", "1")])
        yield b"answered"
        context.set_code(code)

    async with await start(fail) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await channel.unary_unary(PREDICT)(b"")
        assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.UNAVAILABLE, GONE)
    async with await start(fail_midway) as channel:
        call = channel.unary_stream(WATCH)(b"")
        assert await call.read() == b"answered"
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call.read()
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_grpc_tries_it_again_by_itself(start: Start) -> None:
    calls = []

    async def fail_once(request: bytes, context: Any) -> bytes:
        calls.append(request)
        if len(calls) == 1:
            context.set_code(grpc.StatusCode.INTERNAL)
            return b""
        return b"answered"

    async with await start(fail_once, **RETRIES) as channel:
        assert await channel.unary_unary(PREDICT)(b"asked") == b"answered"
    assert calls == [b"asked", b"asked"]


async def test_what_the_application_answers_stays_as_it_is(start: Start) -> None:
    async def refuse(request: bytes, context: Any) -> bytes:
        # In the order in which Serve takes over what a deployment has set.
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_details("model: 'x' is not served here")
        context.set_trailing_metadata([("request_id", "1")])
        return b""

    async with await start(refuse) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary(PREDICT)(b"")
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        assert refused.value.details() == "model: 'x' is not served here"
