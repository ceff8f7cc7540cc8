"""What is measured: each system started alone, checked on 500 test images, and ended with all its processes."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twinserve_bench.h2load import GRPC_HEADERS, Load, drive, drive_url, frame
from twinserve_bench.messages import TestSet
from twinserve_bench.peers.catalogue import Peer
from twinserve_bench.processes import noop, twinserve

HERE = Path(__file__).parent
OIP = "/inference.GRPCInferenceService/ModelInfer"
CHECKED = 500

#: (images per request, in flight, seconds) -> what h2load saw.
Drive = Callable[[int, int, float], Load]


@dataclass(frozen=True, slots=True)
class Subject:
    """A system that is up and answers rightly."""

    pid: int
    drive: Drive
    #: Test images answered correctly: "494 of 500". The same artefact should give the same everywhere.
    right: str


@contextlib.contextmanager
def running_peer(peer: Peer, home: Path, models: Path, port: int) -> Iterator[Subject]:
    """Start a peer, wait until it answers rightly, end it and all its processes."""
    artefact = models / "mnist" / "1" / "int8.pt"
    engine = json.loads((artefact.parent / "manifest.json").read_text())["variants"]["int8"].get("engine", "onednn")
    testset = models / "mnist" / "testset.npz"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        command, variables = peer.command(home.resolve(), work, port)
        common = {"PEER_ARTEFACT": str(artefact.resolve()), "PEER_ENGINE": engine, "OMP_NUM_THREADS": "1"}
        mark = f"PEER_FOLDER={folder}"
        with (work / "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=work,
                env={**os.environ, **common, **variables, "PEER_FOLDER": folder},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            if peer.grpc:
                yield Subject(process.pid, *_oip_drive(home, work, port, testset, process))
            else:
                yield Subject(process.pid, *_http_drive(peer, port, testset, process))
        except (RuntimeError, subprocess.CalledProcessError) as error:
            tail = (work / "log").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{peer.name}: {error}\n{tail}") from None
        finally:
            end_all(process, mark)


def end_all(process: subprocess.Popen[bytes], mark: str) -> None:
    """SIGTERM to the process, then SIGKILL to whatever it leaves: all that carry ``mark`` in their environment."""
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(15)
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)
    process.wait()


def _oip_drive(home: Path, work: Path, port: int, testset: Path, process: subprocess.Popen[bytes]) -> tuple[Drive, str]:
    python = str(home / "triton" / "bin" / "python")
    script = str(HERE / "oip.py")
    bodies = {}
    for images in (1, 64):
        path = work / f"body-{images}"
        subprocess.run([python, script, "body", str(images), str(path), str(testset)], check=True)
        bodies[images] = frame(path.read_bytes())
    done = subprocess.run(
        [python, script, "check", str(port), str(testset)], capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode or process.poll() is not None:
        raise RuntimeError(f"does not answer: {done.stderr[-600:]}")
    right = _expect_right(int(done.stdout.split()[-1]))
    url = f"http://127.0.0.1:{port}{OIP}"
    return lambda images, n, seconds: drive_url(url, bodies[images], GRPC_HEADERS, n, seconds), right


def _http_drive(peer: Peer, port: int, testset: Path, process: subprocess.Popen[bytes]) -> tuple[Drive, str]:
    url = f"http://127.0.0.1:{port}{peer.url_path}"
    with np.load(testset) as held:
        pixels, labels = held["images"][:CHECKED], held["labels"][:CHECKED]
    kind = "application/json" if peer.base64 else "application/octet-stream"

    def body(images: np.ndarray) -> bytes:
        raw = images.tobytes()
        if not peer.base64:
            return raw
        text = base64.b64encode(raw).decode()
        return json.dumps({"pixels": [text] if peer.listed else text}).encode()

    def ask(images: np.ndarray) -> np.ndarray:
        asked = urllib.request.Request(url, body(images), {"content-type": kind})
        with urllib.request.urlopen(asked, timeout=10) as response:
            found = response.read()
        raw = found
        if peer.base64:
            answer = json.loads(found)
            raw = base64.b64decode(answer[0] if peer.listed else answer["probabilities"])
        return np.frombuffer(raw, np.float32).reshape(-1, 10)

    deadline = time.monotonic() + 120
    while True:
        try:
            ask(pixels[:1])
            break
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"does not answer: {error}") from None
            time.sleep(0.5)
    right = sum(
        int((ask(pixels[at : at + 20]).argmax(1) == labels[at : at + 20]).sum()) for at in range(0, CHECKED, 20)
    )
    told = (f"content-type: {kind}",)
    return lambda images, n, seconds: drive_url(
        url, body(pixels[:images]), told, n, seconds, http1=True
    ), _expect_right(right)


def _expect_right(right: int) -> str:
    if right < 0.9 * CHECKED:
        raise RuntimeError(f"only {right} of {CHECKED} answers are right")
    return f"{right} of {CHECKED}"


@contextlib.contextmanager
def running_twinserve(
    transport: str, models: Path, gateways: int, replicas: int = 1, profile: str = "isolated"
) -> Iterator[Subject]:
    """twinserve, as its own benchmark starts it."""
    tests = TestSet(models)
    flags: tuple[str, ...] = ("--variants", "fp32,int8", "--gateways", str(gateways), "--transport", transport)
    flags += ("--profile", profile, "--replicas", f"int8={replicas}")
    with twinserve(models, *flags) as server:
        right = _expect_right(round(CHECKED * tests.check(server.port, "int8", CHECKED)))
        bodies = {images: tests.request("int8", images).SerializeToString() for images in (1, 64)}
        yield Subject(server.pid, lambda images, n, seconds: drive(server.port, bodies[images], n, seconds), right)


@contextlib.contextmanager
def running_noop(models: Path, gateways: int) -> Iterator[Subject]:
    """The bound: grpc.aio that does nothing."""
    body = TestSet(models).request("int8").SerializeToString()
    with noop(gateways) as server:
        yield Subject(server.pid, lambda _, n, seconds: drive(server.port, body, n, seconds), "")
