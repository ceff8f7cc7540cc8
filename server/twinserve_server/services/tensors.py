"""Named tensors: check those of a request against the model's signature, and encode those of an answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from twinserve.v1 import predict_pb2
from twinserve_server.artefact.datatypes import DATATYPES, ITEM_SIZE, DataType
from twinserve_server.artefact.dtypes import DTYPES
from twinserve_server.artefact.manifest import MAX_BATCH_BYTES, ModelVersion, manifest_digest
from twinserve_server.artefact.signature import TensorSpec
from twinserve_server.engine.call import TIMING, Call, timing_of
from twinserve_server.engine.job import Job
from twinserve_server.engine.layout import Array, Layout
from twinserve_server.engine.served import ServedModel
from twinserve_server.errors import InvalidInputError, shown
from twinserve_server.services.decode import Items, Limits, check_values, decode_input
from twinserve_server.services.encode import ROUTES

#: The contract's number of each datatype, and the other way round.
NUMBERS: Final[dict[DataType, predict_pb2.DataType.ValueType]] = {
    name: predict_pb2.DataType.Value(f"DATA_TYPE_{name}") for name in DATATYPES
}
_NAMES: Final[dict[int, DataType]] = {number: name for name, number in NUMBERS.items()}


def decode_request(
    request: predict_pb2.PredictRequest | predict_pb2.CompareRequest,
    served: ServedModel,
    limits: Limits,
    answers: int = 1,
) -> Items:
    """The items of any request: ``input`` or ``inputs``, for a model of either kind.

    Args:
        request: Predict's or Compare's.
        served: the model that is meant.
        limits: of one request and its answer.
        answers: how many variants will answer, in one message.

    Raises:
        InvalidInputError: names the field, its value and what is wanted.
    """
    version, given = served.version, dict(request.inputs)
    if request.HasField("input"):
        if given:
            raise InvalidInputError.of("input", "cannot be combined with inputs; send one of the two")
        if version.signature is not None and len(version.signature.inputs) > 1:
            raise InvalidInputError.of("input", f"is one tensor; {_takes(version)}: send them as inputs, by name")
        given = {version.input_name: request.input}
    elif not given:
        raise InvalidInputError.of("input", "is missing; send a tensor of one or many items")
    if version.signature is not None:
        return decode_tensors(given, served, limits, answers)
    if set(given) != {version.input_name}:
        raise InvalidInputError.of("inputs", f"are {shown(sorted(given))}; {version.model} takes {version.input_name}")
    return decode_input(given[version.input_name], version, limits, answers)


def decode_tensors(
    given: Mapping[str, predict_pb2.Tensor], served: ServedModel, limits: Limits, answers: int = 1
) -> Items:
    """Check the tensors of a model with a signature, and put them together item by item.

    Raises:
        InvalidInputError: names the field, its value and what is wanted.
        OutOfRangeError: a value lies outside of what the manifest states.
    """
    version = served.version
    assert version.signature is not None
    specs = version.signature.inputs
    if set(given) != {spec.name for spec in specs}:
        raise InvalidInputError.of("inputs", f"are {shown(sorted(given))}; {_takes(version)}")
    count = 0
    forms, arrays = [], []
    for spec in specs:
        tensor, shape = given[spec.name], tuple(given[spec.name].shape)
        field = f"inputs[{spec.name}]"
        if _NAMES.get(tensor.datatype) != spec.datatype:
            found = _NAMES.get(tensor.datatype, "unknown")
            raise InvalidInputError.of(f"{field}.datatype", f"is {found}; {version.model} takes {spec.datatype}")
        # Free dimensions fit anything: only the number of dimensions distinguishes one item from several.
        batched = len(shape) == len(spec.shape) + 1
        item = shape[1:] if batched else shape
        if not spec.fits(item) or (batched and shape[0] < 1):
            raise InvalidInputError.of(
                f"{field}.shape",
                f"is {shown(list(shape))}; {version.model} takes {list(spec.shape)} or {['N', *spec.shape]}, "
                "N and -1 being 1 at least".replace("'N'", "N"),
            )
        items = shape[0] if batched else 1
        if count and items != count:
            raise InvalidInputError.of(f"{field}.shape", f"is of {items} items, {specs[0].name} of {count}")
        count = items
        size = count * math.prod(item) * ITEM_SIZE[spec.datatype]
        if len(tensor.data) != size:
            raise InvalidInputError.of(
                f"{field}.data",
                f"holds {len(tensor.data)} bytes; shape {shown(list(shape))} of {spec.datatype} needs {size}",
            )
        arrays.append(_values(spec, tensor.data, version.model, f"{field}.data").reshape(count, *item))
        forms.append((spec.datatype, item))
    layout = Layout(tuple(forms))
    _check_sizes(count, layout, served, limits, answers)
    data = given[specs[0].name].data if len(specs) == 1 else layout.join(arrays)
    return Items(data, layout, count)


def encode_tensors(call: Call, job: Job) -> bytes:
    """The wire bytes of the ``PredictResponse`` of a call that ended well with tensors."""
    version = call.served.version
    response = predict_pb2.PredictResponse(
        served_by=predict_pb2.ServedBy(
            model=version.model,
            version=version.version,
            variant=call.variant,
            sha256=version.variants[call.variant].sha256,
            manifest_digest=manifest_digest(version.manifest_json),
        ),
        timing=predict_pb2.Timing(**dict(zip(TIMING, timing_of(call, job), strict=True))),
        request_id=call.request_id,
        route=ROUTES[call.route],
    )
    for spec, array in outputs_of(call, job):
        response.outputs[spec.name].CopyFrom(
            predict_pb2.Tensor(datatype=NUMBERS[spec.datatype], shape=array.shape, data=array.tobytes())
        )
    return response.SerializeToString()


def outputs_of(call: Call, job: Job) -> list[tuple[TensorSpec, Array]]:
    """The tensors of an answer, in the model's order."""
    signature = call.served.version.signature
    assert signature is not None
    assert job.outputs is not None
    return list(zip(signature.outputs, job.outputs.split(job.probabilities, job.count), strict=True))


def _values(spec: TensorSpec, data: bytes, model: str, field: str) -> Array:
    values: Array = np.frombuffer(data, DTYPES[spec.datatype])
    if spec.datatype == "BOOL":
        if np.frombuffer(data, np.uint8).max() > 1:
            raise InvalidInputError.of(field, "contains bytes other than 0 and 1, the only values of BOOL")
    elif values.dtype.kind == "f" or spec.range is not None:
        check_values(values, spec.bounds, model, field)
    return values


def _check_sizes(count: int, layout: Layout, served: ServedModel, limits: Limits, answers: int) -> None:
    version = served.version
    if count > limits.request_images:
        raise InvalidInputError.of("inputs", f"are {count} items; the limit is {limits.request_images} per request")
    if version.classes and count > (most := limits.answer_images(version, answers)):
        raise InvalidInputError.of(
            "inputs",
            f"are {count} items, whose answer does not fit into a message; send {max(0, most)} at most",
        )
    batch = max(channel.queue.policy.max_batch_size for channel in served.channels.values())
    if layout.item_bytes * batch > MAX_BATCH_BYTES:
        raise InvalidInputError.of(
            "inputs",
            f"have {layout.item_bytes} bytes per item; the limit is {MAX_BATCH_BYTES // batch}",
        )


def _takes(version: ModelVersion) -> str:
    assert version.signature is not None
    return f"{version.model} takes {', '.join(map(str, version.signature.inputs))}"
