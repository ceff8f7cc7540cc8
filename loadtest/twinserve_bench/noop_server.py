"""The upper bound of any Python gRPC server: grpc.aio that answers every Predict with the same bytes.

``python noop_server.py --processes 2``: prints its port once every process listens; ends on SIGTERM or a closed stdin.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import signal
import socket
import sys

import grpc

from twinserve.v1 import predict_pb2

ANSWER = predict_pb2.PredictResponse(
    classes=[7],
    probabilities=bytes(40),
    class_count=10,
    served_by=predict_pb2.ServedBy(model="mnist", version="1", variant="noop", sha256="0" * 64),
    timing=predict_pb2.Timing(queue_ns=1, inference_ns=1, total_ns=1, batch_size=1),
    request_id="0-00000000-1",
).SerializeToString()


async def answer(request: bytes, _: object) -> bytes:
    """The same bytes, whatever the request."""
    predict_pb2.PredictRequest.FromString(request)
    return ANSWER


async def serve(port: int, listening: multiprocessing.synchronize.Event) -> None:
    """Serve one process's share of the port."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 1)])
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)
    service = grpc.method_handlers_generic_handler("twinserve.v1.PredictService", {"Predict": handler})
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    listening.set()
    await server.wait_for_termination()


def run(port: int, listening: multiprocessing.synchronize.Event) -> None:
    """One process."""
    asyncio.run(serve(port, listening))


def main() -> None:
    """Start the processes and wait."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    # Killed by the signal itself, this process would leave its children behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 0))
    port = held.getsockname()[1]
    spawn = multiprocessing.get_context("spawn")
    for _ in range(arguments.processes):
        listening = spawn.Event()
        spawn.Process(target=run, args=(port, listening), daemon=True).start()
        listening.wait(30)
    print(port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
