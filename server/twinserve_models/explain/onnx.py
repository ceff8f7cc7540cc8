"""Looks on while two ONNX files run: the one in floats, made steerable, and the one in 8 bits, in the QDQ form."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from twinserve_models.explain.qdq import Graph, check_floats, check_form, pair
from twinserve_models.explain.steer import Place, steerable, with_outputs
from twinserve_models.explain.twins import Array, Grid, Kernel, NoTwinsError, Quantisation, Seen
from twinserve_server.model.onnx import one_line

Batch = npt.NDArray[Any]
Takes = Literal["UINT8", "FP32"]
Prepared = Callable[[Batch, Takes], Batch]
#: What the input of a graph may be.
_TAKES: Final[dict[str, Takes]] = {"tensor(uint8)": "UINT8", "tensor(float)": "FP32"}
#: The kernels of layers, as ONNX Runtime's profiler calls them.
_KERNELS: Final = (
    *("Conv", "FusedConv", "NhwcFusedConv", "QLinearConv", "ConvInteger"),
    *("Gemm", "FusedGemm", "QGemm"),
    *("MatMul", "FusedMatMul", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"),
)
#: The median of this many passes counts, after those that warm up.
PASSES: Final = 7
WARM_UP: Final = 2
_ERRORS_ONLY: Final = 3


class OnnxTwins:
    """Two ONNX files, in this process."""

    def __init__(
        self,
        float_data: bytes,
        integer_data: bytes,
        prepared: Prepared,
        names: list[str],
    ) -> None:
        """Load them and find their layers.

        Args:
            float_data: the file of the float artefact.
            integer_data: that of the integer artefact.
            prepared: a batch of the test set as a graph takes it.
            names: of the layers, if the manifest tells as many as there are.

        Raises:
            NoTwinsError: they do not have the same layers, or are not in the forms that are looked into.
        """
        floats, integers = Graph(float_data), Graph(integer_data)
        check_floats(floats)
        check_form(integers)
        self.layers, self._leaving = pair(names, floats, integers)
        self._float_data, self._integer_data = float_data, integer_data
        data, self._places = steerable(floats, self.layers)
        self._steered = _Session(data, prepared)
        self._integer = _Session(integer_data, prepared)
        self._open = _Session(with_outputs(integers.model, [leaving.tensor for leaving in self._leaving]), prepared)
        self._prepared = prepared

    def observe(self, batch: Batch) -> list[Seen]:
        wanted = [name for place in self._places for name in (place.entering, place.raw)]
        floats = self._steered.run(batch, wanted)
        integers = self._open.run(batch, [leaving.tensor for leaving in self._leaving])
        seen = []
        for number, (layer, place, leaving) in enumerate(zip(self.layers, self._places, self._leaving, strict=True)):
            alone = None
            if layer.quantisation is not None:
                alone = self._steered.run(batch, [place.told], self._steering({number: layer.quantisation}))[place.told]
            served = integers[leaving.tensor].astype(np.float32)
            if leaving.grid is not None:
                served = (served - leaving.grid.zero_point) * np.float32(leaving.grid.scale)
            seen.append(Seen(floats[place.entering], floats[place.raw], alone, served))
        return seen

    def simulate(self, batch: Batch, quantised: Mapping[int, Quantisation]) -> Array:
        return self._steered.run(batch, [self._steered.output], self._steering(quantised))[self._steered.output]

    def served(self, batch: Batch) -> Array:
        output = self._integer.output
        return self._integer.run(batch, [output])[output]

    def kernels(self, batch: Batch) -> list[tuple[Kernel, Kernel]]:
        both = [
            _profiled(data, batch, self._prepared, len(self.layers)) for data in (self._float_data, self._integer_data)
        ]
        return list(zip(*both, strict=True))

    def _steering(self, quantised: Mapping[int, Quantisation]) -> dict[str, Batch]:
        """What the steered graph is given, so that these layers are in 8 bits."""
        given: dict[str, Batch] = {}
        for number, how in quantised.items():
            place: Place = self._places[number]
            given[place.weights] = np.ascontiguousarray(how.weights.T if place.transposed else how.weights)
            for prefix, grid in ((place.entering_grid, how.input), (place.leaving_grid, how.output)):
                if grid is not None:
                    given |= _values(prefix, grid)
        return given


class _Session:
    """One graph, run on batches of the test set."""

    def __init__(self, data: bytes, prepared: Prepared, profile: str = "") -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        if profile:
            options.enable_profiling, options.profile_file_prefix = True, profile
        try:
            self.session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001  (what a damaged file raises is anybody's guess)
            raise NoTwinsError(
                f"a graph cannot be loaded by onnxruntime {ort.__version__} ({one_line(error)})"
            ) from None
        first = self.session.get_inputs()[0]
        if first.type not in _TAKES:
            raise NoTwinsError(f"input {first.name!r} is {first.type}; explain sends {' or '.join(_TAKES)}")
        #: The graph's outputs before others were added.
        self.output: str = self.session.get_outputs()[0].name
        self._input, self._takes, self._prepared = first.name, _TAKES[first.type], prepared

    def run(self, batch: Batch, wanted: list[str], given: Mapping[str, Batch] | None = None) -> dict[str, Batch]:
        """Tensors by their name; that of the input, too."""
        entering = self._prepared(batch, self._takes)
        names = [name for name in dict.fromkeys(wanted) if name != self._input]
        found = self.session.run(names, {self._input: entering, **(given or {})})
        return {self._input: entering, **dict(zip(names, found, strict=True))}


def _values(prefix: str, grid: Grid) -> dict[str, Batch]:
    numbers = {"scale": grid.scale, "zero": grid.zero_point, "low": grid.low, "high": grid.high}
    given: dict[str, Batch] = {f"{prefix}.{name}": np.array(number, np.float32) for name, number in numbers.items()}
    return given | {f"{prefix}.on": np.array(True)}


def _profiled(data: bytes, batch: Batch, prepared: Prepared, layers: int) -> list[Kernel]:
    """The kernel of each layer, in the order in which they ran; not told where they are not as many as the layers."""
    with tempfile.TemporaryDirectory(prefix="twinserve-") as folder:
        session = _Session(data, prepared, profile=f"{folder}/profile")
        for _ in range(WARM_UP + PASSES):
            session.run(batch, [session.output])
        events = json.loads(Path(session.session.end_profiling()).read_text("utf-8"))
    ran = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
    ran = sorted((event for event in ran if event["args"]["op_name"] in _KERNELS), key=lambda event: event["ts"])
    if len(ran) != layers * (WARM_UP + PASSES):
        each = len(ran) / (WARM_UP + PASSES)
        return [Kernel(f"not reported: {each:g} kernels for {layers} layers", None)] * layers
    passes = [ran[start : start + layers] for start in range(WARM_UP * layers, len(ran), layers)]
    return [
        Kernel(str(same[0]["args"]["op_name"]), float(statistics.median(event["dur"] for event in same)))
        for same in zip(*passes, strict=True)
    ]
