"""The same weights for a device, in fp32, fp16 and bf16: plain operators, whose kernels the device chooses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import nn

from twinserve_models.data import Dataset
from twinserve_models.evaluate import Forward, count_correct
from twinserve_models.export import Artefact
from twinserve_models.mnist_files import DataError
from twinserve_models.net import PARAMETERS, Net
from twinserve_models.serving_net import folded_layers
from twinserve_models.stopwatch import least_seconds
from twinserve_server.model.torch_cuda import missing

PRECISIONS: Final = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
#: The batch sizes timed to find the limit; the last is the schema's maximum.
SIZES: Final = (64, 128, 256, 512, 1024, 2048, 4096)
#: Doubling the batch is worthwhile if it brings at least this factor in images per second.
WORTH: Final = 1.05
PASSES: Final = 5
#: A device that takes longer than this per batch is not tried with a larger one.
SLOW_SECONDS: Final = 0.25


class DeviceNet(nn.Module):
    """The network in one precision. Scores leave in float32: in half precision probabilities would not sum to 1."""

    def __init__(self, net: Net, dtype: torch.dtype) -> None:
        super().__init__()
        layers = folded_layers(net)
        # Channels last throughout, as tensor cores want them, and as fc1 expects them.
        self.conv1 = layers.conv1.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.conv2 = layers.conv2.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.fc1, self.fc2 = layers.fc1.to(dtype), layers.fc2.to(dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Probabilities of a batch."""
        if x.dtype == torch.uint8:
            x = x / 255.0
        x = x.unsqueeze(1).to(self.conv1.weight.dtype)
        x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        x = torch.max_pool2d(x, 2).permute(0, 2, 3, 1).flatten(1)
        return torch.softmax(self.fc2(torch.relu(self.fc1(x))).float(), 1)


@dataclass(frozen=True, slots=True)
class Device:
    """Where arms are built for: ``cpu``, or ``cuda:N``."""

    name: str

    def check(self) -> None:
        """Check that it is here.

        Raises:
            DataError: it is not, or has another form.
        """
        kind, _, number = self.name.partition(":")
        if self.name != "cpu" and (kind != "cuda" or not number.isascii() or not number.isdigit() or len(number) > 2):
            raise DataError(f"--devices {self.name}: is not a device; give cuda:0 or cpu")
        if kind == "cuda" and (why := missing(self.name)):
            raise DataError(f"--devices {self.name}: is not there: {why}")

    def variant(self, precision: str) -> str:
        """``fp16-cuda``, ``fp16-cuda1``."""
        return f"{precision}-{self.name.removesuffix(':0').replace(':', '')}"


def device_artefacts(net: Net, dataset: Dataset, devices: list[Device]) -> list[Artefact]:
    """An arm of every precision for each device, evaluated there; served where ``--variants`` names them."""
    made = []
    for device in devices:
        for precision, dtype in PRECISIONS.items():
            scripted = torch.jit.script(DeviceNet(net, dtype).eval())
            data = scripted.save_to_buffer()
            forward = _on(device.name, scripted)
            made.append(
                Artefact(
                    device.variant(precision),
                    "torchscript",
                    data,
                    f"{'16' if '16' in precision else '32'}-bit floating point ({precision}), for {device.name}",
                    "none",
                    {"method": "none"},
                    PARAMETERS * torch.empty(0, dtype=dtype).element_size(),
                    batch_limit(forward),
                    count_correct(forward, dataset.test_images, dataset.test_labels),
                    on_demand=True,
                    device=device.name,
                    precision=precision,
                )
            )
    return made


def batch_limit(forward: Forward) -> int:
    """The batch size up to which larger batches run more images a second here."""
    best, best_rate = SIZES[0], 0.0
    for size in SIZES:
        batch = torch.randint(0, 256, (size, 28, 28), dtype=torch.uint8)
        took = least_seconds(forward, batch, PASSES, SLOW_SECONDS)
        if size / took < WORTH * best_rate:
            break
        best, best_rate = size, size / took
        if took > SLOW_SECONDS:
            break
    return best


def _on(device: str, module: torch.jit.ScriptModule) -> Forward:
    there = module.to(device)

    def forward(batch: torch.Tensor) -> torch.Tensor:
        # Copying the result back waits until the device has finished.
        answer: torch.Tensor = there(batch.to(device)).cpu()
        return answer

    return forward
