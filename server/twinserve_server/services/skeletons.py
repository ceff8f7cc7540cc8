"""Recognises requests that differ from an earlier one only in their pixels, without parsing them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from twinserve.v1 import predict_pb2
from twinserve_server.artefact.datatypes import DataType
from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.services.decode import Items, bounds_to_check
from twinserve_server.services.encode import varint

#: With more kinds than this, the oldest is dropped. A client library has one for each variant and shape it requests.
MOST: Final = 256
#: Parsing hardly matters for a large request, and this keeps the memory used here small.
MAX_BYTES: Final = 64 << 10
#: Distinct layouts kept per length.
PLACES: Final = 4
#: Before the pixels: the number of their field, and that a length follows.
_TAG: Final = bytes([predict_pb2.Tensor.DATA_FIELD_NUMBER << 3 | 2])
_OTHER: Final = bytes(255 - value for value in range(256))


@dataclass(frozen=True, slots=True)
class Skeleton:
    """What a request is besides its pixels, all of it checked.

    Attributes:
        version: of the model that was meant. Another one has another manifest: the request must be checked anew.
        model: its name, as the request gave it.
        variant: the one that it names; empty: none.
        datatype: of the pixels; count: of items.
        bounds: within which every value must lie; None: whatever bytes there are, they are good.
    """

    version: ModelVersion
    model: str
    variant: str
    datatype: DataType
    count: int
    bounds: tuple[float, float] | None


class Skeletons:
    """Remembers the bytes that surround the pixels of valid requests."""

    def __init__(self) -> None:
        #: Possible positions of the pixels in a message, by its length; newest first.
        self._places: dict[int, tuple[tuple[int, int], ...]] = {}
        #: By the bytes before and after the pixels.
        self._known: dict[tuple[bytes, bytes], Skeleton] = {}

    def find(self, raw: bytes) -> tuple[Skeleton, bytes] | None:
        """The skeleton of ``raw``, and its pixels; None if it has to be parsed."""
        for start, end in self._places.get(len(raw), ()):
            found = self._known.get((raw[:start], raw[end:]))
            if found is not None:
                return found, raw[start:end]
        return None

    def learn(self, raw: bytes, request: predict_pb2.PredictRequest, items: Items, version: ModelVersion) -> None:
        """Remember ``raw``, which is ``request`` and was found good, for those that will differ in their pixels."""
        if request.request_id or request.routing_key or request.inputs or len(raw) > MAX_BYTES:
            return
        datatype = items.datatype
        field = _TAG + varint(len(items.data)) + items.data
        if not isinstance(datatype, str) or raw.count(field) != 1:
            return
        end = raw.index(field) + len(field)
        start = end - len(items.data)
        # That these bytes are the pixels, and nothing but the pixels, the parser says: with others in their place the
        # message is the same but for them.
        other = items.data.translate(_OTHER)
        expected = predict_pb2.PredictRequest()
        expected.CopyFrom(request)
        expected.input.data = other
        if predict_pb2.PredictRequest.FromString(raw[:start] + other + raw[end:]) != expected:
            return
        if len(self._known) >= MOST:
            del self._known[next(iter(self._known))]
        if len(self._places) >= MOST:
            del self._places[next(iter(self._places))]
        others = (place for place in self._places.get(len(raw), ()) if place != (start, end))
        self._places[len(raw)] = ((start, end), *others)[:PLACES]
        self._known[raw[:start], raw[end:]] = Skeleton(
            version, request.model, request.variant, datatype, items.count, bounds_to_check(version, datatype)
        )
