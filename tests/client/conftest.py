"""Fixtures of the SDK's tests: the digit server and both clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from support.client_face import Face
from support.digit_server import SHAPE, Server, digit_server


@pytest.fixture
def server() -> Iterator[Server]:
    """A server for one test."""
    with digit_server() as running:
        yield running


@pytest.fixture(params=["Client", "AsyncClient"])
def face(request: pytest.FixtureRequest) -> Iterator[Face]:
    """Every test that uses it runs once per client."""
    made = Face(request.param == "AsyncClient")
    yield made
    made.close()


@pytest.fixture
def client(face: Face, server: Server) -> Any:
    """A client of the test server."""
    return face.open(server.target)


@pytest.fixture
def digits() -> npt.NDArray[np.uint8]:
    """Five images with the classes 0..4."""
    images = np.zeros((5, *SHAPE), np.uint8)
    images[:, 3, 4] = np.arange(5)
    return images
