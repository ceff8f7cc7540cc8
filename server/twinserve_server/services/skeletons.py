"""Recognises requests that differ from an earlier one only in their pixels, without parsing them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import Message

from twinserve_server.artefact.datatypes import DataType
from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.engine.call import Call
from twinserve_server.engine.served import ServedModel
from twinserve_server.services.decode import Items, bounds_to_check
from twinserve_server.services.encode import varint

#: With more kinds than this, the oldest is dropped. A client library has one for each variant and shape it requests.
MOST: Final = 256
#: Parsing hardly matters for a large request, and this keeps the memory used here small.
MAX_BYTES: Final = 64 << 10
#: Distinct layouts kept per length.
PLACES: Final = 4
_LENGTH_DELIMITED: Final = 2
_OTHER: Final = bytes(255 - value for value in range(256))


@dataclass(frozen=True, slots=True, eq=False)
class Skeleton:
    """What a request is besides its pixels, all of it checked.

    Attributes:
        target: looks up what answers it now, as for any other request: the model, and the variant that it names (empty:
            none).
        version: of the model that was meant. Another one has another manifest: the request must be checked anew.
        datatype: of the pixels; count: of items.
        bounds: within which every value must lie; None: whatever bytes there are, they are good.
        on_done: takes its call once that has ended; ``Call.owner`` is the exchange.
    """

    target: Callable[[], tuple[ServedModel, str]]
    version: ModelVersion
    datatype: DataType
    count: int
    bounds: tuple[float, float] | None
    on_done: Callable[[Call], None]


class Skeletons:
    """Remembers the bytes that surround the pixels of valid requests of one type of message."""

    def __init__(self, field: int, put: Callable[[Any, bytes], None]) -> None:
        """
        Args:
            field: the number of the field that holds the pixels.
            put: puts other pixels into a request.
        """
        self._tag = bytes([field << 3 | _LENGTH_DELIMITED])
        self._put = put
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

    def learn(
        self,
        raw: bytes,
        request: Message,
        items: Items,
        version: ModelVersion,
        target: Callable[[], tuple[ServedModel, str]],
        on_done: Callable[[Call], None],
    ) -> None:
        """Remember ``raw``, which was found good, for requests that will differ in their pixels.

        Args:
            raw: the message as it came. Whatever it holds beside its pixels is no name of its own.
            request: the same, parsed.
            items: its pixels.
            version: whose manifest they were checked against.
            target, on_done: see :class:`Skeleton`.
        """
        datatype, data = items.datatype, items.data
        field = self._tag + varint(len(data)) + data
        if not isinstance(datatype, str) or len(raw) > MAX_BYTES or raw.count(field) != 1:
            return
        end = raw.index(field) + len(field)
        start = end - len(data)
        # The parser proves that these bytes are the pixels and nothing else: with other bytes in their place, the rest
        # of the message stays the same.
        other = data.translate(_OTHER)
        expected = type(request)()
        expected.CopyFrom(request)
        self._put(expected, other)
        if type(request).FromString(raw[:start] + other + raw[end:]) != expected:
            return
        if len(self._known) >= MOST:
            del self._known[next(iter(self._known))]
        if len(self._places) >= MOST:
            del self._places[next(iter(self._places))]
        others = (place for place in self._places.get(len(raw), ()) if place != (start, end))
        self._places[len(raw)] = ((start, end), *others)[:PLACES]
        bounds = bounds_to_check(version, datatype)
        self._known[raw[:start], raw[end:]] = Skeleton(target, version, datatype, items.count, bounds, on_done)
