"""The RPC table comes from the services' descriptors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from twinserve.v1 import predict_pb2
from twinserve_server.engine.amount import Amount
from twinserve_server.engine.call import Call
from twinserve_server.rpc.callback import Arrival, DirectStream, Exchange, begin_alone
from twinserve_server.rpc.method import RpcMethod, methods_of

SERVICE = predict_pb2.DESCRIPTOR.services_by_name["PredictService"]


class Direct:
    def begin(self, raw: bytes, _deadline_ns: int, exchange: Exchange, /) -> None:
        exchange.answer(raw)

    def begin_all(self, arrivals: Sequence[Arrival], /) -> list[Call | None]:
        return [begin_alone(self.begin, arrival) for arrival in arrivals]

    def abandon(self, *_: Any) -> None:
        pass


class Servicer:
    """Each form that a method may have."""

    predict = Direct()
    predict_stream = DirectStream(predict, Amount(1, 1, 1), bytes, lambda *_: b"")

    async def compare(self, request: Any, context: Any) -> bytes:
        return b""

    async def send_feedback(self, request: Any, context: Any) -> bytes:
        return b""

    async def DescribeModel(self, request: Any, context: Any) -> AsyncIterator[bytes]:  # noqa: N802
        yield b""


def table() -> dict[str, RpcMethod]:
    return {method.name: method for method in methods_of(SERVICE, Servicer())}


def test_every_method_of_the_service_is_there_under_its_names_on_the_wire() -> None:
    assert list(table()) == [method.name for method in SERVICE.methods]
    assert {method.service for method in table().values()} == {"twinserve.v1.PredictService"}


def test_streaming_is_what_the_proto_says() -> None:
    assert {name: method.kind for name, method in table().items() if method.kind != "unary"} == {
        "PredictStream": "bidi_stream"
    }


def test_a_method_without_coroutine_is_served_both_ways_and_takes_bytes() -> None:
    for name in ("Predict", "PredictStream"):
        method = table()[name]
        assert method.direct is not None
        assert method.parse is None
        assert callable(method.behaviour)


def test_a_coroutine_takes_the_message_that_the_proto_says() -> None:
    parse = table()["Compare"].parse
    assert parse is not None
    assert parse(predict_pb2.CompareRequest(model="m").SerializeToString()) == predict_pb2.CompareRequest(model="m")


def test_a_method_that_the_servicer_lacks_is_left_to_the_transport() -> None:
    assert methods_of(SERVICE, object()) == []
