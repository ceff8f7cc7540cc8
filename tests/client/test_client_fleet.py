"""One client and several servers: turns, deaths, and what all of them must agree on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest

from support.client_face import Face
from support.digit_server import Fault, Server, digit_server
from support.server_process import ServerProcess, wait_until
from support.tiny_model import classes_of, items
from twinserve_client import (
    CallError,
    Client,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PartlyAppliedError,
    ServerStatus,
    UnavailableError,
)

Images = npt.NDArray[np.uint8]


@pytest.fixture
def pair() -> Iterator[tuple[Server, Server]]:
    """Two servers."""
    with digit_server() as one, digit_server() as two:
        yield one, two


@pytest.fixture
def both(face: Face, pair: tuple[Server, Server]) -> Any:
    """A client of the two."""
    return face.open(",".join(server.target for server in pair))


def test_requests_take_turns(face: Face, both: Any, pair: tuple[Server, Server], digits: Images) -> None:
    def answered() -> bool:
        for _ in range(10):
            face.run(both.predict(digits))
        return all(server.behaviour.calls.count("Predict") >= 5 for server in pair)

    wait_until(answered, 30)


def test_a_policy_is_set_on_all(face: Face, both: Any, pair: tuple[Server, Server]) -> None:
    after = face.run(both.set_traffic({"int8": 1.0}))
    assert after.generations == {server.target: 1 for server in pair}
    assert [server.behaviour.calls.count("SetTraffic") for server in pair] == [1, 1]
    assert face.run(both.get_traffic()).weights == {"int8": 1.0}
    again = face.run(both.set_traffic({"fp32": 1.0}, if_generation=after.generations))
    assert again.generation == 2
    with pytest.raises(ConflictError, match="has generation 2, not 1; nothing has changed"):
        face.run(both.set_traffic({"int8": 1.0}, if_generation=after.generations))
    assert face.run(both.get_traffic()) == again


def test_no_server_is_changed_when_one_does_not_answer(face: Face, pair: tuple[Server, Server]) -> None:
    client = face.open(f"{pair[0].target},127.0.0.1:1", retries=0)
    with pytest.raises(UnavailableError, match=r"^127\.0\.0\.1:1: .*; nothing has changed"):
        face.run(client.set_traffic({"int8": 1.0}))
    assert "SetTraffic" not in pair[0].behaviour.calls
    assert face.run(client.get_traffic()).generations == {pair[0].target: 0}


def test_a_change_that_reaches_some_says_which(face: Face, both: Any, pair: tuple[Server, Server]) -> None:
    pair[1].behaviour.faults.append(Fault(grpc.StatusCode.UNAVAILABLE, "it is gone"))
    with pytest.raises(PartlyAppliedError) as caught:
        face.run(both.set_traffic({"int8": 1.0}))
    assert str(caught.value) == f"traffic: changed on {pair[0].target}, but not on {pair[1].target} (it is gone)"
    assert list(caught.value.applied) == [pair[0].target]
    assert isinstance(caught.value.failed[pair[1].target], UnavailableError)
    with pytest.raises(ConflictError, match=r"different policies \(.*int8=1; .*fp32=1\); set_traffic gives all"):
        face.run(both.get_traffic())
    face.run(both.set_traffic({"int8": 1.0}))
    assert face.run(both.get_traffic()).weights == {"int8": 1.0}


def test_a_version_is_activated_on_all(face: Face, both: Any, pair: tuple[Server, Server]) -> None:
    face.run(both.versions.activate(2))
    assert [server.behaviour.calls.count("ActivateVersion") for server in pair] == [1, 1]
    pair[1].behaviour.faults.append(Fault(grpc.StatusCode.FAILED_PRECONDITION, "3/int8.pt: is corrupt"))
    with pytest.raises(PartlyAppliedError, match=rf"not on {pair[1].target} \(3/int8.pt: is corrupt\)"):
        face.run(both.versions.activate(3))
    with pytest.raises(ConflictError, match=r"different ones \(.*active=3 .*active=2 "):
        face.run(both.versions.list())


def test_a_change_that_nobody_takes_is_an_error_as_with_one(face: Face, both: Any, pair: tuple[Server, Server]) -> None:
    for server in pair:
        server.behaviour.faults.append(Fault(grpc.StatusCode.INVALID_ARGUMENT, "weights: no such variant"))
    with pytest.raises(InvalidInputError, match=r"^weights: no such variant"):
        face.run(both.set_traffic({"int4": 1.0}))


def test_feedback_reaches_whoever_answered(face: Face, both: Any, digits: Images) -> None:
    for _ in range(6):
        prediction = face.run(both.predict(digits))
        assert face.run(both.send_feedback(prediction.request_id, [0, 1, 2, 3, 4])).correct == 5
    with pytest.raises(NotFoundError, match="request_id: unknown"):
        face.run(both.send_feedback("never", [1]))


def test_each_server_tells_how_it_is(face: Face, pair: tuple[Server, Server]) -> None:
    client = face.open(f"{pair[0].target},127.0.0.1:1", retries=0)
    statuses = face.run(client.get_statuses())
    assert list(statuses) == [pair[0].target, "127.0.0.1:1"]
    assert isinstance(statuses[pair[0].target], ServerStatus)
    assert isinstance(statuses["127.0.0.1:1"], UnavailableError)


def test_a_server_killed_under_load_costs_no_request(tiny_models: Path, serve: Callable[..., ServerProcess]) -> None:
    pixels = items(64)
    classes = classes_of(pixels)
    servers = [serve(tiny_models, "--gateways", "1") for _ in range(2)]
    stop = threading.Event()
    failed: list[CallError] = []
    counts = [0] * 4

    with Client(f"twinserve://{servers[0].target},{servers[1].target}", timeout=30) as client:

        def load(worker: int) -> None:
            while not stop.is_set():
                index = counts[worker] % 64
                try:
                    assert client.predict(pixels[index]).classes[0] == classes[index]
                except CallError as error:
                    failed.append(error)
                counts[worker] += 1

        def served(server: ServerProcess) -> float:
            return server.metric("twinserve_requests_total")

        with ThreadPoolExecutor(4) as threads:
            workers = [threads.submit(load, worker) for worker in range(4)]
            try:
                # Both take part before one dies.
                wait_until(lambda: all(served(server) > 50 for server in servers), 30)
                for process in [process.pid for process in servers[1].processes()]:
                    with_signal(process, signal.SIGKILL)
                servers[1].process.kill()
                servers[1].process.wait(30)
                dead_at = sum(counts)
                wait_until(lambda: sum(counts) > dead_at + 400, 60)
                # Its successor on the same port takes its turns again.
                successor = serve(tiny_models, "--gateways", "1", "--port", str(servers[1].grpc_port))
                wait_until(lambda: served(successor) > 20, 60)
                # One that is told to stop drains.
                successor.stop()
                drained_at = sum(counts)
                wait_until(lambda: sum(counts) > drained_at + 200, 60)
            finally:
                stop.set()
            for worker in workers:
                worker.result()
    assert [str(error) for error in failed] == []


def with_signal(pid: int, number: int) -> None:
    """Signal a process that may be gone already."""

    with suppress(ProcessLookupError):
        os.kill(pid, number)
