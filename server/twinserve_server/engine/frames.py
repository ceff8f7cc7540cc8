"""The frames between a gateway and a model process, over a Unix stream socket.

One batch is one frame each way, written with a single ``sendmsg``. A fixed little-endian header, then the payload:

======== ========================================= ================================================================
frame    header                                    payload
======== ========================================= ================================================================
request  length, datatype, layout's length,        the pixels, images x item
         images, batch id
answer   length, status, layout's length, images,  uint32 classes, then float32 probabilities, images rows each; with
         batch id, batch size, wait, preprocess,   ``FAILED`` then, as JSON, what went wrong by row: the rows that it
         inference, postprocess (ns)               names mean nothing
======== ========================================= ================================================================

Named tensors travel the same way: the payload begins with their layout (:mod:`~twinserve_server.engine.layout`), and
each item, or each row of the answer, holds them one after the other. For pixels and classes there is none.

A model process sends one answer frame with status ``HELLO`` when it is warm and ready. An answer repeats the batch id
of its request.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from typing import Final, Generic, NamedTuple, TypeVar

from twinserve_server.artefact.datatypes import DataType
from twinserve_server.engine.job import BatchTiming, Buffer
from twinserve_server.engine.layout import Form, Layout

_REQUEST: Final = struct.Struct("<IHHIQ")
_ANSWER: Final = struct.Struct("<IHHIQIQQQQ")

OK: Final = 0
FAILED: Final = 1
HELLO: Final = 2

_CODES: Final[dict[DataType, int]] = {"UINT8": 1, "FP32": 2}
_TENSORS: Final = 3
_DATATYPES: Final[dict[int, DataType]] = {code: name for name, code in _CODES.items()}

#: One read takes what a socket buffer usually contains.
READ_SIZE: Final = 1 << 18


class FrameError(Exception):
    """The data violates this protocol: the stream can no longer be trusted."""


class Request(NamedTuple):
    """One batch, to be run."""

    datatype: Form
    images: int
    batch_id: int
    payload: memoryview


class Answer(NamedTuple):
    """The answer to one batch, or a greeting."""

    status: int
    images: int
    batch_id: int
    timing: BatchTiming
    payload: memoryview
    #: Of the rows, if they are not probabilities.
    layout: Layout | None = None


def request_header(datatype: Form, images: int, batch_id: int, length: int) -> bytes:
    """What goes before ``length`` bytes of pixels, or of items of named tensors."""
    if isinstance(datatype, Layout):
        packed = datatype.packed
        return _REQUEST.pack(len(packed) + length, _TENSORS, len(packed), images, batch_id) + packed
    return _REQUEST.pack(length, _CODES[datatype], 0, images, batch_id)


def check_size(request: Request, item_bytes: dict[DataType, int]) -> None:
    """Check that a request carries the pixels it announces.

    Raises:
        FrameError: the model does not take its datatype, or its payload is not ``images`` items.
    """
    form = request.datatype
    size = form.item_bytes if isinstance(form, Layout) else item_bytes.get(form, 0)
    if len(request.payload) != request.images * size:
        raise FrameError(f"{request.images} images of {request.datatype} in {len(request.payload)} bytes")


def hello() -> bytes:
    """The greeting frame of a model process that is ready."""
    return _ANSWER.pack(0, HELLO, 0, 0, 0, 0, 0, 0, 0, 0)


def answer(
    batch_id: int,
    images: int,
    timing: BatchTiming,
    classes: Buffer,
    probabilities: Buffer,
    errors: dict[int, str] | None = None,
    layout: Layout | None = None,
) -> bytes:
    """The frame that answers a batch; ``errors`` has messages by row, ``layout`` describes rows of tensors."""
    failed = json.dumps(errors).encode() if errors else b""
    packed = b"" if layout is None else layout.packed
    header = _ANSWER.pack(
        len(packed) + len(classes) + len(probabilities) + len(failed),
        FAILED if errors else OK,
        len(packed),
        images,
        batch_id,
        timing.batch_size,
        timing.wait_ns,
        timing.preprocess_ns,
        timing.inference_ns,
        timing.postprocess_ns,
    )
    return b"".join((header, packed, classes, probabilities, failed))


def split_answer(found: Answer, classes: int) -> tuple[memoryview, memoryview, dict[int, str]]:
    """The classes, the probabilities and the errors by row of an answer.

    Raises:
        FrameError: its payload does not hold ``images`` rows of ``classes`` classes.
    """
    payload, images = found.payload, found.images
    row = 4 * classes if found.layout is None else found.layout.item_bytes
    at, end = 4 * images, images * (4 + row)
    if len(payload) < end or (found.status == OK and len(payload) != end):
        raise FrameError(
            f"its answer for {images} images of {f'{row} bytes' if found.layout else f'{classes} classes'} holds "
            f"{len(payload)} bytes; {end} are expected"
        )
    if found.status == OK:
        return payload[:at], payload[at:], {}
    try:
        errors = {int(row): str(message) for row, message in json.loads(bytes(payload[end:])).items()}
    except (ValueError, AttributeError):
        raise FrameError("its answer does not say what went wrong") from None
    return payload[:at], payload[at:end], errors


Frame = TypeVar("Frame", Request, Answer)


class FrameReader(Generic[Frame]):
    """Splits a byte stream into frames, however it is fragmented."""

    def __init__(self, header: struct.Struct, make: Callable[[Buffer, int, memoryview], Frame]) -> None:
        """``make``: a frame from the buffer with its header, where that begins, and its payload."""
        self._size = header.size
        self._make: Callable[[Buffer, int, memoryview], Frame] = make
        self._buffer = bytearray()

    def feed(self, data: Buffer) -> Iterator[Frame]:
        """Take ``data``; yield every frame that is now complete.

        Raises:
            FrameError: see :func:`read_requests` and :func:`read_answers`.
        """
        size = self._size
        if not self._buffer:
            # The usual case: whole frames. Payloads are views of ``data``, not copies.
            view, start = memoryview(data), 0
            while len(view) - start >= size:
                end = start + size + _length(view, start)
                if len(view) < end:
                    break
                yield self._make(view, start, view[start + size : end])
                start = end
            self._buffer += view[start:]
            return
        self._buffer += data
        while len(self._buffer) >= size:
            end = size + _length(self._buffer, 0)
            if len(self._buffer) < end:
                return
            frame = bytes(memoryview(self._buffer)[:end])
            del self._buffer[:end]
            yield self._make(frame, 0, memoryview(frame)[size:])


def read_requests() -> FrameReader[Request]:
    """Reader for a model process. A request with an unknown datatype or without images is a FrameError."""
    return FrameReader(_REQUEST, _request)


def read_answers() -> FrameReader[Answer]:
    """Reader for a gateway. An answer with an unknown status is a FrameError."""
    return FrameReader(_ANSWER, _answer)


_length_field: Final = struct.Struct("<I").unpack_from


def _length(buffer: Buffer, start: int) -> int:
    length: int = _length_field(buffer, start)[0]
    return length


def _request(buffer: Buffer, start: int, payload: memoryview) -> Request:
    _, code, size, images, batch_id = _REQUEST.unpack_from(buffer, start)
    datatype: Form | None = _DATATYPES.get(code)
    if code == _TENSORS:
        datatype, payload = _layout(payload[:size]), payload[size:]
    if datatype is None or not images:
        raise FrameError(f"a batch of {images} images of the unknown datatype {code}")
    return Request(datatype, images, batch_id, payload)


def _answer(buffer: Buffer, start: int, payload: memoryview) -> Answer:
    _, status, size, images, batch_id, batch_size, wait, preprocess, inference, postprocess = _ANSWER.unpack_from(
        buffer, start
    )
    if status not in (OK, FAILED, HELLO):
        raise FrameError(f"an answer of the unknown status {status}")
    timing = BatchTiming(wait, preprocess, inference, postprocess, batch_size)
    if size:
        return Answer(status, images, batch_id, timing, payload[size:], _layout(payload[:size]))
    return Answer(status, images, batch_id, timing, payload)


def _layout(data: memoryview) -> Layout:
    try:
        return Layout.unpacked(bytes(data))
    except (ValueError, TypeError):
        raise FrameError("the layout of its tensors cannot be read") from None
