"""Self-test of the fast transport at every start: real calls over a separate port, before it gets the real one.

The calls are written by hand, since a gRPC client in this process would poll the same sockets as the server, and wake
it where nothing else would.
"""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Sequence
from typing import Any, Final

from twinserve_server.engine.call import Call
from twinserve_server.errors import InvalidInputError
from twinserve_server.rpc.callback import Arrival, Exchange, begin_alone
from twinserve_server.rpc.method import RpcMethod
from twinserve_server.rpc.serve import serve
from twinserve_server.transport.base import Door, ListenOptions
from twinserve_server.transport.fast.support import UnsupportedError
from twinserve_server.transport.fast.transport import FastTransport

PROOF_SECONDS: Final = 5.0
WAKE_SECONDS: Final = 0.5
#: Within this time, one of gRPC core's own threads would have read the request.
TAKE_SECONDS: Final = 0.01
SERVICE: Final = "twinserve.v1.Proof"

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 1, 4
_FRAME_HEADER: Final = 9
#: SETTINGS_HEADER_TABLE_SIZE = 0
_NO_HEADER_TABLE: Final = bytes((0, 1, 0, 0, 0, 0))


async def prove() -> None:
    """Serve and call a direct method, a coroutine and a failing method, and see that a request wakes the loop.

    Raises:
        UnsupportedError: an answer was wrong or did not come.
    """
    handlers = [
        serve(RpcMethod(SERVICE, "Echo", None, _echo, direct=_Echo()), _Silent()),
        serve(RpcMethod(SERVICE, "EchoLater", None, _echo), _Silent()),
        serve(RpcMethod(SERVICE, "Fail", None, _echo, direct=_Fail()), _Silent()),
    ]
    transport = FastTransport([Door(ListenOptions("127.0.0.1", 0, False, 1 << 20), handlers)])
    await transport.start()
    try:
        async with asyncio.timeout(PROOF_SECONDS):
            await _call_all(transport.port, transport.poller)
    except (TimeoutError, OSError, EOFError, ValueError) as error:
        raise UnsupportedError(f"its self-test failed ({type(error).__name__}: {error})") from None
    finally:
        await transport.drain(0.0)


async def _call_all(port: int, poller: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_PREFACE + _frame(_SETTINGS, 0, 0, _NO_HEADER_TABLE))
    expected = (("Echo", b"0", b"ping"), ("EchoLater", b"0", b"ping"), ("Fail", b"3", b""), ("Echo", b"0", b"ping"))
    try:
        for index, (method, *wanted) in enumerate(expected):
            writer.write(_request(2 * index + 1, method, b"ping"))
            # Nothing polls between these two lines; the first request may be read elsewhere, see ``queue``.
            if index and not (_readable(poller, WAKE_SECONDS) and _stays_readable(poller)):
                raise ValueError("a request did not wake the loop")
            answer = await _answer(reader)
            if answer != tuple(wanted):
                raise ValueError(f"{method} answered {answer}")
    finally:
        writer.close()


def _readable(poller: int, seconds: float) -> bool:
    return bool(select.select([poller], [], [], seconds)[0])


def _stays_readable(poller: int) -> bool:
    """Whether what has arrived waits for the loop; the loop stands still meanwhile."""
    time.sleep(TAKE_SECONDS)
    return _readable(poller, 0)


def _request(stream: int, method: str, message: bytes) -> bytes:
    """The frames of one unary RPC."""
    headers = _frame(_HEADERS, _END_HEADERS, stream, _headers(f"/{SERVICE}/{method}"))
    return headers + _frame(_DATA, _END_STREAM, stream, b"\0" + len(message).to_bytes(4, "big") + message)


async def _answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The status and the response of the one RPC under way."""
    response = b""
    while True:
        head = await reader.readexactly(_FRAME_HEADER)
        payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
        kind, flags = head[3], head[4]
        if kind == _DATA:
            response += payload
        elif kind == _HEADERS and flags & _END_STREAM:
            # Without a header table, names and values are written in full, each after its length.
            at = payload.index(b"grpc-status") + len(b"grpc-status")
            return payload[at + 1 : at + 1 + payload[at]], response[5:]


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _headers(path: str) -> bytes:
    """The header block of a gRPC request in HPACK (RFC 7541), with table indices of its appendix A, without Huffman."""
    post, http, path_name, authority_name, content_type_name = b"\x83", b"\x86", b"\x04", b"\x01", b"\x0f\x10"
    return (
        post
        + http
        + (path_name + _text(path))
        + (authority_name + _text("localhost"))
        + (content_type_name + _text("application/grpc"))
        + (b"\0" + _text("te") + _text("trailers"))
    )


def _text(value: str) -> bytes:
    return bytes([len(value)]) + value.encode()


async def _echo(request: bytes, _: object) -> bytes:
    return request


class _Echo:
    def begin(self, raw: bytes, _: int, exchange: Exchange, /) -> None:
        exchange.answer(raw)

    def begin_all(self, arrivals: Sequence[Arrival], /) -> list[Call | None]:
        return [begin_alone(self.begin, arrival) for arrival in arrivals]

    def abandon(self, *_: Any) -> None:
        pass


class _Fail(_Echo):
    def begin(self, _raw: bytes, _: int, exchange: Exchange, /) -> None:
        exchange.refuse(InvalidInputError.of("proof", "fails on purpose"))


class _Silent:
    def started(self, *_: Any) -> None:
        pass

    def handled(self, *_: Any) -> None:
        pass
