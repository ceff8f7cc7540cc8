"""The public API as a type checker sees it; read by ``make check`` and by ``test_client_typing.py``, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import assert_type

import numpy as np
import numpy.typing as npt
from PIL import Image

from twinserve_client import (
    TLS,
    AsyncClient,
    CallError,
    Client,
    Feedback,
    ModelInfo,
    ModelVersions,
    Prediction,
    RetryPolicy,
    ServerStatus,
    Traffic,
)


def synchronous(images: npt.NDArray[np.uint8]) -> None:
    with Client(
        "127.0.0.1:8500",
        model="mnist",
        timeout=None,
        retries=RetryPolicy(max_attempts=2),
        retry_exhausted=True,
        tls=TLS(ca="ca.pem"),
        token="t",
        channel_options=[("grpc.keepalive_time_ms", 1)],
    ) as client:
        assert_type(client, Client)
        prediction = client.predict(images, variant="int8", routing_key="k", request_id="r", timeout=1.5)
        assert_type(prediction, Prediction)
        assert_type(prediction.classes, npt.NDArray[np.int64])
        assert_type(prediction.probabilities, npt.NDArray[np.float32])
        assert_type(prediction.labels, list[str])
        assert_type(prediction.timing.queue, float)
        assert_type(client.predict([[0.0, 1.0]]), Prediction)
        assert_type(client.predict(Path("seven.png")), Prediction)
        assert_type(client.predict([Image.new("L", (28, 28))]), Prediction)
        assert_type(client.predict_stream([images]), Iterator[Prediction])
        assert_type(client.predict_stream([images], on_error="raise"), Iterator[Prediction])
        assert_type(client.predict_stream([images], on_error="return"), Iterator[Prediction | CallError])
        assert_type(client.compare(images, ["fp32", "int8"]), dict[str, Prediction])
        assert_type(client.send_feedback("r", [7]), Feedback)
        assert_type(client.describe_model(), ModelInfo)
        assert_type(client.describe_model(version=2), ModelInfo)
        assert_type(client.wait_until_ready(5), ModelInfo)
        assert_type(client.get_traffic(), Traffic)
        assert_type(client.set_traffic({"int8": 0.5}, shadows={"int8": 0.1}, if_generation=3), Traffic)
        assert_type(client.get_status(), ServerStatus)
        assert_type(client.get_statuses(), dict[str, ServerStatus | CallError])
        assert_type(client.versions.list(), tuple[ModelVersions, ...])
        assert_type(client.versions.load(2), ModelVersions)
        assert_type(client.versions.activate("2", keep_previous=True, if_active=1), ModelVersions)
        assert_type(client.versions.unload("1"), ModelVersions)
        assert_type(client.versions.unload_all(), ModelVersions)
        policy = client.get_traffic()
        assert_type(client.set_traffic({"int8": 1}, if_generation=policy.generations), Traffic)


async def asynchronous(images: npt.NDArray[np.float32]) -> None:
    async def source() -> AsyncIterator[npt.NDArray[np.float32]]:
        yield images

    async with AsyncClient(retries=0) as client:
        assert_type(client, AsyncClient)
        assert_type(await client.predict(images), Prediction)
        assert_type(client.predict_stream(source()), AsyncIterator[Prediction])
        assert_type(client.predict_stream([images], on_error="return"), AsyncIterator[Prediction | CallError])
        assert_type(await client.compare(images), dict[str, Prediction])
        assert_type(await client.send_feedback("r", 7), Feedback)
        assert_type(await client.describe_model(), ModelInfo)
        assert_type(await client.wait_until_ready(), ModelInfo)
        assert_type(await client.get_traffic(), Traffic)
        assert_type(await client.set_traffic({"int8": 1}), Traffic)
        assert_type(await client.versions.list(), tuple[ModelVersions, ...])
        assert_type(await client.versions.activate(), ModelVersions)
        assert_type(await client.get_status(), ServerStatus)
        assert_type(await client.get_statuses(), dict[str, ServerStatus | CallError])


def mistakes(client: Client, images: npt.NDArray[np.uint8]) -> None:
    client.predict(images, "int8")  # type: ignore[call-arg, arg-type]
    client.predict_stream([images], on_error="ignore")  # type: ignore[call-overload]
    client.predict(images).timing.queue = 1.0  # type: ignore[misc]
    client.predict(images, timeout="soon")  # type: ignore[arg-type]
