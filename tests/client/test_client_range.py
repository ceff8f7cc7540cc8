"""Values outside the range that the manifest states are refused before they are sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest

from support.client_face import Face
from support.digit_server import SHAPE, Fault, Server
from twinserve_client import InvalidInputError, Prediction

RANGES = '{"input": {"ranges": {"UINT8": [0, 255], "FP32": [%s, %s]}}}'
INSIDE = np.full(SHAPE, 0.5, np.float32)

WAYS: dict[str, Callable[[Face, Any, Any], Any]] = {
    "one": lambda face, client, image: face.run(client.predict(image)),
    "batch": lambda face, client, image: face.run(client.predict(np.stack([INSIDE, image]))),
    "stream": lambda face, client, image: face.take(client.predict_stream([image])),
    "compare": lambda face, client, image: face.run(client.compare(image)),
}


@pytest.fixture
def server(server: Server) -> Server:
    """Its model wants 0..1."""
    server.behaviour.manifest_json = RANGES % (0, 1)
    return server


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (-1.0, 1.0, r"input\.data: lies within -1\.\.1; the model takes 0\.\.1"),
        (0.0, 255.0, r"input\.data: lies within .*\.\.255; the model takes 0\.\.1; divide pixels of 0\.\.255 by 255"),
        (0.0, np.nan, r"input\.data: holds NaN or infinity"),
        (0.0, np.inf, r"input\.data: holds NaN or infinity"),
    ],
)
def test_a_value_outside_is_refused(
    face: Face, client: Any, server: Server, way: str, low: float, high: float, message: str
) -> None:
    image = INSIDE.copy()
    image[0, 0], image[1, 1] = low, high
    with pytest.raises(InvalidInputError, match=message) as caught:
        WAYS[way](face, client, image)
    assert caught.value.violations[0].field == "input.data"
    finite = np.isfinite(high)
    assert caught.value.code is (grpc.StatusCode.OUT_OF_RANGE if finite else grpc.StatusCode.INVALID_ARGUMENT)
    assert set(server.behaviour.calls) <= {"DescribeModel", "PredictStream"}


@pytest.mark.parametrize("way", WAYS)
def test_rounding_and_pixels_pass(face: Face, client: Any, way: str) -> None:
    image = np.linspace(0, 1.000001, 784, dtype=np.float32).reshape(SHAPE)
    WAYS[way](face, client, image)
    if way != "batch":
        WAYS[way](face, client, np.full(SHAPE, 255, np.uint8))


def test_an_item_outside_keeps_its_place_in_a_stream(face: Face, client: Any) -> None:
    outcomes = face.take(client.predict_stream([INSIDE, INSIDE * 9, INSIDE], on_error="return"))
    assert [type(outcome) for outcome in outcomes] == [Prediction, InvalidInputError, Prediction]


def test_the_model_is_described_before_the_first_floats_and_not_again(face: Face, client: Any, server: Server) -> None:
    for _ in range(3):
        face.run(client.predict(INSIDE))
    assert server.behaviour.calls == ["DescribeModel", "Predict", "Predict", "Predict"]


def test_the_range_is_that_of_the_server_which_is_there_now(face: Face, client: Any, server: Server) -> None:
    face.run(client.predict(INSIDE))
    server.behaviour.manifest_json, server.behaviour.manifest_digest = RANGES % (-1, 1), b"another"
    face.run(client.predict(-INSIDE))
    server.behaviour.manifest_json, server.behaviour.manifest_digest = RANGES % (0, 1), b"a third"
    with pytest.raises(InvalidInputError):
        face.run(client.predict(-INSIDE * 4))


@pytest.mark.parametrize("manifest", ["{}", "not JSON", "[]", '{"input": {"ranges": {"FP32": "wide"}}}'])
def test_without_a_range_the_server_judges(face: Face, client: Any, server: Server, manifest: str) -> None:
    server.behaviour.manifest_json = manifest
    face.run(client.predict(INSIDE * 9))


def test_without_a_description_the_server_judges(face: Face, client: Any, server: Server) -> None:
    server.behaviour.describe_faults.extend([Fault(grpc.StatusCode.PERMISSION_DENIED)] * 2)
    face.run(client.predict(INSIDE * 9))
