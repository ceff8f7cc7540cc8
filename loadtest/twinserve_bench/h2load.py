"""A cheap external generator: h2load (Debian's nghttp2-client) drives a unary gRPC method over HTTP/2.

The generator costs a fraction of a Python client, so that the server is what is measured. h2load knows nothing of gRPC:
it sees HTTP status 200 for errors too, and errors are answered faster than images. So one checked call is made before
and after each load, and the bytes that h2load received must be those of as many good answers. Warm-up is a run of its
own, as h2load counts the bytes of its warm-up, but not the requests.
"""

from __future__ import annotations

import re
import shutil
import statistics
import struct
import subprocess
import tempfile
import urllib.request
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc

from twinserve_bench.processes import cpu_seconds

METHOD = "/twinserve.v1.PredictService/Predict"
GRPC_HEADERS = ("content-type: application/grpc", "te: trailers")
#: Good answers differ by a few bytes (request ids grow); an error carries none.
LEAST_SHARE_OF_BYTES = 0.98


class LoadError(RuntimeError):
    """The load did not run as asked; the figure would mean nothing."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of h2load saw.

    Attributes:
        requests_per_second: over the measured time.
        p50_us: median latency, microseconds; p99_us likewise.
        bytes_per_answer: HTTP/2 data of one answer.
        cpu_us: CPU of the server's processes a request, by what they run; a busy machine changes it less than a rate.
    """

    requests_per_second: float
    p50_us: float
    p99_us: float
    bytes_per_answer: float
    cpu_us: dict[str, float] = field(default_factory=dict)


def frame(message: bytes) -> bytes:
    """A gRPC message on the wire: not compressed, length, bytes."""
    return b"\0" + struct.pack(">I", len(message)) + message


def drive(
    port: int,
    message: bytes,
    in_flight: int,
    seconds: float,
    method: str = METHOD,
    warm_up: float = 0.5,
    server_pid: int = 0,
) -> Load:
    """A unary gRPC method, ``in_flight`` connections with one stream each, closed loop, for ``seconds``.

    ``server_pid``: whose CPU, and whose descendants', is told; 0: nobody's.

    Raises:
        LoadError: h2load is missing, or answers were not all good.
    """
    url = f"http://127.0.0.1:{port}{method}"
    return drive_url(url, frame(message), GRPC_HEADERS, in_flight, seconds, warm_up, server_pid=server_pid)


def drive_url(
    url: str,
    body: bytes,
    headers: tuple[str, ...],
    in_flight: int,
    seconds: float,
    warm_up: float = 0.5,
    http1: bool = False,
    server_pid: int = 0,
) -> Load:
    """Any POST, as :func:`drive`; ``http1`` for servers without HTTP/2.

    Raises:
        LoadError: h2load is missing, or answers were not all good.
    """
    if shutil.which("h2load") is None:
        raise LoadError("h2load is not installed; apt-get install nghttp2-client")
    before = _answer_bytes(url, body, headers, http1)
    if warm_up:
        _run(url, body, headers, in_flight, warm_up, http1)
    spent = cpu_seconds(server_pid) if server_pid else {}
    load = _parse(*_run(url, body, headers, in_flight, seconds, http1), seconds)
    if server_pid:
        requests = load.requests_per_second * seconds
        after = cpu_seconds(server_pid)
        load = replace(load, cpu_us={role: (after[role] - spent[role]) * 1e6 / requests for role in spent})
    least = min(before, _answer_bytes(url, body, headers, http1))
    if load.bytes_per_answer < LEAST_SHARE_OF_BYTES * least:
        raise LoadError(
            f"{load.bytes_per_answer:.0f} bytes an answer under load, {least} when asked alone: "
            f"some {1 - load.bytes_per_answer / least:.1%} of the answers are errors; the rate means nothing"
        )
    return load


def _answer_bytes(url: str, body: bytes, headers: tuple[str, ...], http1: bool) -> int:
    """One checked call: how many bytes a good answer has (gRPC status 0, or HTTP status 2xx)."""
    try:
        if http1:
            told = dict(header.split(": ", 1) for header in headers)
            with urllib.request.urlopen(urllib.request.Request(url, body, told), timeout=30) as reply:
                found = len(reply.read())
        else:
            host, _, method = url.removeprefix("http://").partition("/")
            with grpc.insecure_channel(host, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/" + method)
                found = len(frame(call(body[5:], timeout=30, wait_for_ready=True)))
    except grpc.RpcError as error:
        raise LoadError(f"{url}: a single call fails: {error.code().name}: {error.details()}") from None
    except OSError as error:
        raise LoadError(f"{url}: a single call fails: {error}") from None
    if found <= 5:
        raise LoadError(f"{url}: the answer to a single call is empty")
    return found


def _run(
    url: str, body: bytes, headers: tuple[str, ...], in_flight: int, seconds: float, http1: bool
) -> tuple[str, str]:
    """What h2load printed, and its log of requests."""
    with tempfile.TemporaryDirectory() as folder:
        data, log = Path(folder) / "body", Path(folder) / "log"
        data.write_bytes(body)
        command = [
            *("h2load", "-c", str(in_flight), "-m", "1", "-t", "1", *(["--h1"] if http1 else [])),
            *("-D", f"{int(seconds * 1000)}ms"),
            *("-d", str(data), f"--log-file={log}", *(part for header in headers for part in ("-H", header))),
            url,
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
        except subprocess.TimeoutExpired:
            raise LoadError(f"{url}: h2load with {in_flight} connections did not end within a minute") from None
        return done.stdout + done.stderr, log.read_text() if log.exists() else ""


def _parse(text: str, log: str, seconds: float) -> Load:
    counts = re.search(
        r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", text
    )
    traffic = re.search(r"traffic: .*\((\d+)\) data", text)
    if counts is None or traffic is None:
        raise LoadError(f"h2load said nothing that can be read:\n{text[-2000:]}")
    done, succeeded, failed, errored = (int(counts[at]) for at in (2, 3, 4, 5))
    # Requests in flight when the time is up are neither failed nor done.
    if not succeeded or failed + errored > done * 0.001:
        raise LoadError(f"h2load: {succeeded} of {done} requests succeeded, {failed} failed, {errored} errored")
    latencies = sorted(float(line.split("\t")[2]) for line in log.splitlines() if line.count("\t") >= 2)
    if not latencies:
        raise LoadError("h2load logged no request")
    return Load(
        requests_per_second=succeeded / seconds,
        p50_us=statistics.median(latencies),
        p99_us=latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))],
        bytes_per_answer=int(traffic[1]) / succeeded,
    )
