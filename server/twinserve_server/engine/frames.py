"""The frames between a gateway and a model process, over a Unix stream socket.

One batch is one frame each way, written with a single ``sendmsg``. A fixed little-endian header, then the payload:

======== ================================================= ==============================================
frame    header                                            payload
======== ================================================= ==============================================
request  length, datatype, images, batch id                the pixels, images x item
answer   length, status, images, batch id, batch size,     uint32 classes, then float32 probabilities;
         wait, preprocess, inference, postprocess (ns)     on an error the message in UTF-8
======== ================================================= ==============================================

A model process sends one answer frame with status ``HELLO`` when it is warm and ready.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from twinserve_server.artefact.manifest import DataType
from twinserve_server.engine.job import Buffer

REQUEST: Final = struct.Struct("<IHHIQ")
ANSWER: Final = struct.Struct("<IHHIQIQQQQ")

OK: Final = 0
FAILED: Final = 1
HELLO: Final = 2

DATATYPE_CODES: Final[dict[DataType, int]] = {"UINT8": 1, "FP32": 2}
DATATYPES: Final[dict[int, DataType]] = {code: name for name, code in DATATYPE_CODES.items()}

#: One read takes what a socket buffer usually holds.
READ_SIZE: Final = 1 << 18


class FrameReader:
    """Cuts a byte stream into frames, whatever the pieces it arrives in."""

    def __init__(self, header: struct.Struct) -> None:
        self._header = header
        self._buffer = bytearray()

    def feed(self, data: Buffer) -> Iterator[tuple[tuple[int, ...], memoryview]]:
        """Take ``data``; yield (header fields, payload) of every frame that is complete now."""
        size = self._header.size
        if not self._buffer:
            # The usual case: whole frames. Payloads are views of ``data``, not copies.
            view, start = memoryview(data), 0
            while len(view) - start >= size:
                fields = self._header.unpack_from(view, start)
                end = start + size + fields[0]
                if len(view) < end:
                    break
                yield fields, view[start + size : end]
                start = end
            self._buffer += view[start:]
            return
        self._buffer += data
        while len(self._buffer) >= size:
            fields = self._header.unpack_from(self._buffer)
            end = size + fields[0]
            if len(self._buffer) < end:
                return
            payload = memoryview(bytes(memoryview(self._buffer)[size:end]))
            del self._buffer[:end]
            yield fields, payload
