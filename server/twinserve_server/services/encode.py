"""Encode a finished call as a ``PredictResponse``.

Parts of a protobuf message may be concatenated: whatever is the same for every answer of a variant (class count,
served_by) is encoded once, and the timing has fixed-width fields, so an answer is a handful of concatenations. That is
three times cheaper than filling a message object, and answers are most of what a gateway writes. A test compares the
bytes with those of the protobuf library.
"""

from __future__ import annotations

import struct
import sys
from functools import lru_cache
from typing import Final

import numpy as np

from twinserve.v1 import predict_pb2
from twinserve_server.artefact.manifest import manifest_digest
from twinserve_server.engine.call import Call
from twinserve_server.engine.job import Job
from twinserve_server.errors import TwinserveError
from twinserve_server.rpc.status import message_of, status_of

_FIXED64 = 1
_FIXED32 = 5
_LENGTH_DELIMITED = 2
_TAG_CLASSES = bytes([1 << 3 | _LENGTH_DELIMITED])
_TAG_PROBABILITIES = bytes([2 << 3 | _LENGTH_DELIMITED])
_TAG_TIMING = 5 << 3 | _LENGTH_DELIMITED
_TAG_REQUEST_ID = bytes([6 << 3 | _LENGTH_DELIMITED])
_TAG_RESPONSES = bytes([1 << 3 | _LENGTH_DELIMITED])
_TAG_STREAM_RESPONSE = bytes([1 << 3 | _LENGTH_DELIMITED])
#: Timing (field 5, length-delimited): fixed-width fields, each after its tag. First the part of each request, then the
#: part shared with its batch.
_TIMING_HEAD: Final = struct.Struct("<BBBQBQ")
_TIMING_REST: Final = struct.Struct("<BQBIBQBQBQ")
_TIMING_LENGTH: Final = _TIMING_HEAD.size - 2 + _TIMING_REST.size
_TAG_QUEUE, _TAG_INFERENCE, _TAG_TOTAL, _TAG_BATCH_SIZE, _TAG_TRANSFER, _TAG_PREPROCESS, _TAG_POSTPROCESS = (
    number << 3 | (_FIXED32 if number == 4 else _FIXED64) for number in range(1, 8)
)


def encode_answer(call: Call, job: Job) -> bytes:
    """The wire bytes of the ``PredictResponse`` of a call that ended well."""
    version, probabilities = call.served.version, job.probabilities
    request_id = call.answer_id.encode()
    return b"".join(
        (
            _head(
                version.model,
                version.version,
                call.variant,
                version.variants[call.variant].sha256,
                version.classes,
                call.route,
                version.manifest_json,
            ),
            _packed_classes(job),
            _TAG_PROBABILITIES,
            varint(len(probabilities)),
            probabilities,
            _TIMING_HEAD.pack(_TAG_TIMING, _TIMING_LENGTH, _TAG_QUEUE, job.queue_ns, _TAG_TOTAL, call.total_ns),
            _shared_timing(job.inference_ns, job.batch_size, job.transfer_ns, job.preprocess_ns, job.postprocess_ns),
            _TAG_REQUEST_ID,
            varint(len(request_id)),
            request_id,
        )
    )


def encode_stream_answer(answer: bytes) -> bytes:
    """The wire bytes of a ``PredictStreamResponse`` with an encoded ``PredictResponse``."""
    return b"".join((_TAG_STREAM_RESPONSE, varint(len(answer)), answer))


def encode_comparison(answers: list[bytes]) -> bytes:
    """The wire bytes of a ``CompareResponse`` with encoded ``PredictResponse`` messages."""
    return b"".join(part for answer in answers for part in (_TAG_RESPONSES, varint(len(answer)), answer))


def encode_stream_error(error: TwinserveError, request_id: str) -> bytes:
    """The wire bytes of a ``PredictStreamResponse`` with the error of one request."""
    found = predict_pb2.StreamError(code=status_of(error).value[0], message=message_of(error), request_id=request_id)
    return predict_pb2.PredictStreamResponse(error=found).SerializeToString()


@lru_cache(maxsize=64)
def _shared_timing(
    inference_ns: int, batch_size: int, transfer_ns: int, preprocess_ns: int, postprocess_ns: int
) -> bytes:
    """What the requests of one batch say alike of their time."""
    return _TIMING_REST.pack(
        _TAG_INFERENCE,
        inference_ns,
        _TAG_BATCH_SIZE,
        batch_size,
        _TAG_TRANSFER,
        transfer_ns,
        _TAG_PREPROCESS,
        preprocess_ns,
        _TAG_POSTPROCESS,
        postprocess_ns,
    )


#: The contract's number of each way in which a variant was chosen.
ROUTES: Final = {"named": predict_pb2.ROUTE_NAMED, "split": predict_pb2.ROUTE_SPLIT}
#: The length and the one varint of a single class below 128.
_ONE_CLASS: Final = tuple(bytes((1, index)) for index in range(0x80))


@lru_cache(maxsize=256)
def _head(
    model: str, version: str, variant: str, sha256: str, class_count: int, path: str, manifest_json: str
) -> bytes:
    """What all answers of a variant begin with, up to the tag of the classes."""
    fields = predict_pb2.PredictResponse(
        class_count=class_count,
        served_by=predict_pb2.ServedBy(
            model=model,
            version=version,
            variant=variant,
            sha256=sha256,
            manifest_digest=manifest_digest(manifest_json),
        ),
        route=ROUTES[path],
    )
    return fields.SerializeToString() + _TAG_CLASSES


def _packed_classes(job: Job) -> bytes:
    """The length and the varints of ``classes``; below 128 a varint is one byte."""
    if job.count == 1 and (index := int.from_bytes(job.classes, sys.byteorder)) < 0x80:
        return _ONE_CLASS[index]
    classes = np.frombuffer(job.classes, np.uint32)
    if classes.max() < 0x80:
        return varint(job.count) + classes.astype(np.uint8).tobytes()
    body = b"".join(map(varint, classes.tolist()))
    return varint(len(body)) + body


def varint(value: int) -> bytes:
    """``value`` as protobuf's variable-width integer."""
    # Nearly all are this short, and the loop takes twice as long.
    if value < 1 << 7:
        return bytes((value,))
    if value < 1 << 14:
        return bytes((value & 0x7F | 0x80, value >> 7))
    if value < 1 << 21:
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
