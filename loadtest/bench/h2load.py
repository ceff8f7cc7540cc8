"""A cheap external generator: h2load (Debian's nghttp2-client) drives a unary gRPC method over HTTP/2.

The generator costs a fraction of a Python client, so that the server is what is measured. h2load knows nothing of gRPC:
it sees HTTP status 200 for errors too. So the bytes of the answers are checked against those of a known good answer.
"""

from __future__ import annotations

import re
import shutil
import statistics
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

METHOD = "/twinserve.v1.PredictService/Predict"


class LoadError(RuntimeError):
    """The load did not run as asked; the figure would mean nothing."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of h2load saw.

    Attributes:
        requests_per_second: over the measured time.
        p50_us: median latency, microseconds; p99_us likewise.
        bytes_per_answer: HTTP/2 data of one answer.
    """

    requests_per_second: float
    p50_us: float
    p99_us: float
    bytes_per_answer: float


def frame(message: bytes) -> bytes:
    """A gRPC message on the wire: not compressed, length, bytes."""
    return b"\0" + struct.pack(">I", len(message)) + message


def drive(
    port: int, message: bytes, in_flight: int, seconds: float, method: str = METHOD, warm_up: float = 0.5
) -> Load:
    """A unary gRPC method, ``in_flight`` connections with one stream each, closed loop, for ``seconds``.

    Raises:
        LoadError: h2load is missing, or requests failed.
    """
    headers = ("content-type: application/grpc", "te: trailers")
    return drive_url(f"http://127.0.0.1:{port}{method}", frame(message), headers, in_flight, seconds, warm_up)


def drive_url(
    url: str,
    body: bytes,
    headers: tuple[str, ...],
    in_flight: int,
    seconds: float,
    warm_up: float = 0.5,
    http1: bool = False,
) -> Load:
    """Any POST, as :func:`drive`; ``http1`` for servers without HTTP/2.

    Raises:
        LoadError: h2load is missing, or requests failed.
    """
    if shutil.which("h2load") is None:
        raise LoadError("h2load is not installed; apt-get install nghttp2-client")
    with tempfile.TemporaryDirectory() as folder:
        data, log = Path(folder) / "body", Path(folder) / "log"
        data.write_bytes(body)
        command = [
            *("h2load", "-c", str(in_flight), "-m", "1", "-t", "1", *(["--h1"] if http1 else [])),
            *(f"--warm-up-time={int(warm_up * 1000)}ms", "-D", f"{int(seconds * 1000)}ms"),
            *("-d", str(data), f"--log-file={log}", *(part for header in headers for part in ("-H", header))),
            url,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + warm_up + 60, check=False)
        return _parse(done.stdout + done.stderr, log.read_text() if log.exists() else "", seconds)


def _parse(text: str, log: str, seconds: float) -> Load:
    counts = re.search(
        r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", text
    )
    traffic = re.search(r"traffic: .*\((\d+)\) data", text)
    if counts is None or traffic is None:
        raise LoadError(f"h2load said nothing that can be read:\n{text[-2000:]}")
    done, succeeded, errored = int(counts[2]), int(counts[3]), int(counts[5])
    # Requests under way when the time is up are neither failed nor done.
    if not succeeded or errored > done * 0.001:
        raise LoadError(f"h2load: {succeeded} of {done} requests succeeded, {errored} errored")
    latencies = sorted(float(line.split("\t")[2]) for line in log.splitlines() if line.count("\t") >= 2)
    if not latencies:
        raise LoadError("h2load logged no request")
    return Load(
        requests_per_second=succeeded / seconds,
        p50_us=statistics.median(latencies),
        p99_us=latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))],
        bytes_per_answer=int(traffic[1]) / succeeded,
    )
