"""How long Health/Check takes while the server is under load: what an orchestrator's probe meets."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from twinserve_bench.h2load import drive

#: Separate connections for the probe, so that it reaches every gateway.
CONNECTIONS = 8
#: Between two probes, so that they add no load themselves.
PAUSE_SECONDS = 0.01
#: The load starts before the first probe and ends after the last.
MARGIN_SECONDS = 0.5


def health_under_load(port: int, message: bytes, in_flight: int, seconds: float) -> list[float]:
    """Latencies of Health/Check, µs, ascending, with ``in_flight`` requests of ``message`` in work all the time.

    Raises:
        LoadError: the load did not run as asked.
        grpc.RpcError: a check failed.
    """
    latencies = []
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(1))
        stubs = []
        for _ in range(CONNECTIONS):
            options = [("grpc.use_local_subchannel_pool", 1)]
            channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}", options))
            stubs.append(health_pb2_grpc.HealthStub(channel))
            stubs[-1].Check(health_pb2.HealthCheckRequest(), timeout=30, wait_for_ready=True)
        load = pool.submit(drive, port, message, in_flight, seconds + 3 * MARGIN_SECONDS, warm_up=0.0)
        time.sleep(MARGIN_SECONDS)
        end = time.monotonic() + seconds
        for stub in itertools.cycle(stubs):
            started = time.perf_counter()
            stub.Check(health_pb2.HealthCheckRequest(), timeout=30)
            latencies.append((time.perf_counter() - started) * 1e6)
            if time.monotonic() > end or load.done():
                break
            time.sleep(PAUSE_SECONDS)
        load.result()
    return sorted(latencies)
