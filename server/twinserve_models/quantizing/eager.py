"""A module of the user's in 8-bit integers, as TorchScript: static (weights per channel), or dynamic."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.ao import quantization as tq
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from twinserve_models.quantize import QuantRecipe, quiet
from twinserve_models.quantizing.calibration import Arrays, batches
from twinserve_server.errors import ArtefactError


def quantize_module(make: Callable[[], Any], calibration: Arrays, recipe: QuantRecipe, *, static: bool) -> bytes:
    """The TorchScript file of a module in INT8.

    Args:
        make: returns the module, in floats, with its weights.
        calibration: sets the ranges of the activations (static), and is what a module that cannot be scripted is
            traced with.
        recipe: engine and range.
        static: else dynamic: linear and recurrent layers only, their ranges found batch by batch.

    Raises:
        ArtefactError: the function returns no module, or torch cannot quantise it.
    """
    try:
        module = make()
    except Exception as error:  # noqa: BLE001  (the user's function may raise anything)
        raise ArtefactError(f"the function failed ({type(error).__name__}: {error})") from None
    if isinstance(module, torch.jit.ScriptModule):
        raise ArtefactError("the function returns TorchScript, which cannot be quantised again; return the nn.Module")
    if not isinstance(module, nn.Module):
        raise ArtefactError(f"the function returns a {type(module).__name__}; a torch.nn.Module is needed")
    torch.backends.quantized.engine = recipe.engine
    items = [tuple(map(torch.from_numpy, batch.values())) for batch in batches(calibration)]
    try:
        with quiet(), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore", DeprecationWarning)
            quantized = _static(module.eval(), items, recipe) if static else _dynamic(module.eval())
            return _scripted(quantized, items[0])
    except Exception as error:  # noqa: BLE001  (what torch raises is anybody's guess)
        said = " ".join(str(error).split())[:300]
        raise ArtefactError(f"cannot be quantised by torch ({type(error).__name__}: {said})") from None


def _static(module: nn.Module, items: list[tuple[torch.Tensor, ...]], recipe: QuantRecipe) -> nn.Module:
    activation: Any = tq.HistogramObserver.with_args(dtype=torch.quint8, reduce_range=recipe.reduce_range)
    config = tq.QConfig(activation=activation, weight=tq.default_per_channel_weight_observer)
    prepared = prepare_fx(module, tq.QConfigMapping().set_global(config), items[0])
    for batch in items:
        prepared(*batch)
    converted: nn.Module = convert_fx(prepared)
    return converted


def _dynamic(module: nn.Module) -> nn.Module:
    quantized: nn.Module = tq.quantize_dynamic(module, {nn.Linear, nn.LSTM, nn.GRU}, dtype=torch.qint8)
    return quantized


def _scripted(module: nn.Module, example: tuple[torch.Tensor, ...]) -> bytes:
    try:
        scripted = torch.jit.script(module)
    except Exception:  # noqa: BLE001  (not every module can be scripted; a trace is tried as the server runs it)
        scripted = torch.jit.trace(module, example)
    return bytes(scripted.save_to_buffer())
