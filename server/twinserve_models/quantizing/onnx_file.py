"""An ONNX graph in 8-bit integers: static (QDQ, weights per channel), or dynamic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from twinserve_host.files import scratch_folder
from twinserve_models.quantizing.calibration import Arrays, batches
from twinserve_server.errors import ArtefactError

#: Operators that compute, and those that only pass on 8-bit values. Softmax stays in floats: 8 bits would not sum to 1.
OPERATORS: Final = [
    *("Conv", "Gemm", "MatMul", "Add", "Relu", "LeakyRelu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool"),
    *("Flatten", "Reshape", "Transpose", "Concat", "Squeeze", "Unsqueeze"),
]
_COMPUTING: Final = {"Conv", "Gemm", "MatMul", "LSTM", "Attention"}


def quantize_onnx(data: bytes, calibration: Arrays | None, *, reduce_range: bool) -> bytes:
    """The INT8 form of an ONNX file.

    Args:
        data: the file in floats.
        calibration: sets the ranges of the activations; None: they are found batch by batch, when it runs.
        reduce_range: weights of 7 bits, for processors whose 8-bit products overflow (x86 without VNNI).

    Raises:
        ArtefactError: there is nothing in it to quantise, or ONNX Runtime cannot.
        FileError: there is no room for it in the temporary folder.
    """
    with scratch_folder("twinserve-") as folder:
        source, target = folder / "floats.onnx", folder / "int8.onnx"
        source.write_bytes(data)
        _check_operators(data)
        try:
            if calibration is None:
                quantize_dynamic(
                    source, target, per_channel=True, reduce_range=reduce_range, weight_type=QuantType.QInt8
                )
            else:
                quantize_static(
                    source,
                    target,
                    _Reader(calibration),
                    quant_format=QuantFormat.QDQ,
                    per_channel=True,
                    reduce_range=reduce_range,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                    calibrate_method=CalibrationMethod.MinMax,
                    op_types_to_quantize=OPERATORS,
                )
        except OSError:
            raise  # of the temporary folder
        except Exception as error:  # noqa: BLE001  (what the quantiser raises is anybody's guess)
            said = " ".join(str(error).split())[:300]
            raise ArtefactError(f"cannot be quantised by ONNX Runtime ({type(error).__name__}: {said})") from None
        return target.read_bytes()


def _check_operators(data: bytes) -> None:
    import onnx  # noqa: PLC0415

    found = {node.op_type for node in onnx.load_from_string(data).graph.node}
    if not found & _COMPUTING:
        raise ArtefactError(
            f"holds {', '.join(sorted(found))}: nothing that computes in 8 bits ({', '.join(sorted(_COMPUTING))})"
        )


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands out the items in batches."""

    def __init__(self, arrays: Arrays) -> None:
        self._batches: Iterator[Arrays] = batches(arrays)

    def get_next(self) -> dict[str, Any] | None:
        return next(self._batches, None)
