"""How many test images an artefact gets right, offline."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

Forward = Callable[[torch.Tensor], torch.Tensor]


def predict_classes(
    forward: Forward, images: npt.NDArray[np.uint8], batch_size: int = 64, as_float: bool = False
) -> npt.NDArray[np.int64]:
    """The predicted classes of ``images`` (uint8, N x 28 x 28), given as uint8 or, ``as_float``, as 0..1 in float32."""
    pixels = torch.from_numpy(images)
    if as_float:
        pixels = pixels.float() / 255
    with torch.inference_mode():
        return torch.cat([forward(batch).argmax(1) for batch in pixels.split(batch_size)]).numpy()


def onnx_forward(data: bytes) -> Forward:
    """An ONNX file as a forward function; pixels as uint8 become floats of 0..1."""
    import onnxruntime  # noqa: PLC0415  (only a build that makes ONNX files needs it)

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def forward(batch: torch.Tensor) -> torch.Tensor:
        pixels = batch.float() / 255 if batch.dtype == torch.uint8 else batch
        return torch.from_numpy(session.run(None, {name: pixels.numpy()})[0])

    return forward


def count_correct(forward: Forward, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> int:
    """How many of ``images`` get their true label."""
    return int((predict_classes(forward, images) == labels).sum())
