"""Layers that hold their weights in the kernels' own layout, with the relu fused in.

TorchScript's modules reorder a convolution's weights on every call and run the relu as a pass of its own. These pack
once, when they are made and when they are loaded (``__setstate__``), so an artefact stays a plain TorchScript file.
docs/decisions/0003 says what each of them is worth.
"""

# No `from __future__ import annotations`: TorchScript reads annotations of attributes as types, not as text. For its
# sake, too, TYPICAL_BATCH reaches the functions below as a default and comprehensions are loops.

import torch
from torch import nn

#: Each batch size up to this one has its own packed convolution.
OWN_PACK_LIMIT = 16
#: The batch size for which oneDNN chooses float32 weight layouts; they work with every size.
TYPICAL_BATCH = 64


class ConvReLU(nn.Module):
    """``relu(conv2d(x))`` in float32: unpadded, stride 1, through one oneDNN primitive."""

    def __init__(self, conv: nn.Conv2d, side: int) -> None:
        """Pack ``conv`` for square pictures of ``side`` pixels."""
        super().__init__()
        assert conv.bias is not None
        self.side = side
        self.bias = conv.bias.detach()
        self.packed = pack_convolution(conv.weight.detach(), side)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._convolution_pointwise(  # noqa: SLF001
            x, self.packed, self.bias, [0, 0], [1, 1], [1, 1], 1, "relu", [], ""
        )

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, torch.Tensor, int, bool]:
        return self.packed.to_dense(), self.bias, self.side, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, torch.Tensor, int, bool]) -> None:
        self.bias, self.side, self.training = state[1], state[2], state[3]
        self.packed = pack_convolution(state[0], state[2])


class LinearReLU(nn.Module):
    """``relu(linear(x))`` in float32 through one oneDNN primitive."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.bias = linear.bias.detach()
        self.packed = pack_linear(linear.weight.detach())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "relu", [], "")  # noqa: SLF001

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, torch.Tensor, bool]:
        return self.packed.to_dense(), self.bias, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, torch.Tensor, bool]) -> None:
        self.bias, self.training = state[1], state[2]
        self.packed = pack_linear(state[0])


class QuantizedConvReLU(nn.Module):
    """``relu(conv2d(x))`` in 8 bits: unpadded, stride 1, with packed weights of their own for small batch sizes.

    Packed weights remember the oneDNN primitive of the first batch size they meet; any other size looks its primitive
    up anew, some 30 microseconds a call. So the sizes 1 to ``own`` have packed weights of their own (19 KB for the
    larger convolution); all other sizes share ``packed[0]``.
    """

    packed: list[torch.classes.quantized.Conv2dPackedParamsBase]

    def __init__(self, conv: torch.ao.nn.intrinsic.quantized.ConvReLU2d, own: int = OWN_PACK_LIMIT) -> None:
        super().__init__()
        self.own = own
        self.scale = float(conv.scale)
        self.zero_point = int(conv.zero_point)
        self.packed = pack_quantized_convolution(conv.weight(), conv.bias(), own)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = x.size(0)
        packed = self.packed[size if size <= self.own else 0]
        return torch.ops.quantized.conv2d_relu(x, packed, self.scale, self.zero_point)

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, torch.Tensor, float, int, int, bool]:
        weight, bias = torch.ops.quantized.conv2d_unpack(self.packed[0])
        assert bias is not None
        return weight, bias, self.scale, self.zero_point, self.own, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, torch.Tensor, float, int, int, bool]) -> None:
        self.scale, self.zero_point, self.own, self.training = state[2], state[3], state[4], state[5]
        self.packed = pack_quantized_convolution(state[0], state[1], state[4])


def pack_convolution(weight: torch.Tensor, side: int, batch: int = TYPICAL_BATCH) -> torch.Tensor:
    """Weights, out x in x height x width, in the layout oneDNN wants for pictures of ``side`` pixels."""
    return torch.ops.mkldnn._reorder_convolution_weight(  # noqa: SLF001
        weight, [0, 0], [1, 1], [1, 1], 1, [batch, weight.size(1), side, side]
    )


def pack_linear(weight: torch.Tensor, batch: int = TYPICAL_BATCH) -> torch.Tensor:
    """Weights, out x in, in the layout oneDNN wants."""
    return torch.ops.mkldnn._reorder_linear_weight(weight, batch)  # noqa: SLF001


def pack_quantized_convolution(
    weight: torch.Tensor, bias: torch.Tensor, own: int
) -> list[torch.classes.quantized.Conv2dPackedParamsBase]:
    """Packed weights for all batch sizes that have none of their own, then one set for each of 1 to ``own``."""
    packed = [torch.ops.quantized.conv2d_prepack(weight, bias, [1, 1], [0, 0], [1, 1], 1)]
    for _ in range(own):
        packed.append(torch.ops.quantized.conv2d_prepack(weight, bias, [1, 1], [0, 0], [1, 1], 1))  # noqa: PERF401
    return packed
