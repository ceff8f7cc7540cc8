"""What Predict and ModelInfer have in common: requests that arrive together are begun together."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from twinserve_server.engine.call import Call
from twinserve_server.engine.engine import Engine
from twinserve_server.engine.served import ServedModel
from twinserve_server.errors import TwinserveError
from twinserve_server.rpc.callback import Arrival, Exchange, begin_alone
from twinserve_server.services.decode import Items, Limits, check_bytes
from twinserve_server.services.skeletons import Skeleton, Skeletons


class InferenceMethod(ABC):
    """A :class:`DirectMethod` that runs a request on one variant."""

    def __init__(self, engine: Engine, limits: Limits, skeletons: Skeletons, data_field: str) -> None:
        """``data_field``: how errors name the pixels."""
        self._engine = engine
        self._limits = limits
        self.skeletons = skeletons
        self._data_field = data_field

    def begin_all(self, arrivals: Sequence[Arrival]) -> list[Call | None]:
        """Begin requests that arrived together: those with a known skeleton in one pass, the others one by one."""
        find, now_ns = self.skeletons.find, time.monotonic_ns()
        together: list[Call] = []

        def begin(raw: bytes, deadline_ns: int, exchange: Exchange) -> Call | None:
            found = find(raw)
            call = None if found is None else self._prepare(*found, deadline_ns, exchange, now_ns)
            if call is None:
                return self.begin(raw, deadline_ns, exchange)
            together.append(call)
            return call

        begun = [begin_alone(begin, arrival) for arrival in arrivals]
        self._engine.start(together)
        return [call if call is not None and call.owner is not None else None for call in begun]

    def _prepare(self, known: Skeleton, data: bytes, deadline_ns: int, exchange: Exchange, now_ns: int) -> Call | None:
        """The call of a request that is ``known`` but for its pixels; None: it has to be checked anew."""
        served, variant = known.target()
        if served.version is not known.version:
            return None
        if known.bounds is not None:
            check_bytes(data, known.datatype, known.bounds, known.version.model, self._data_field)
        call = self._engine.prepare(
            served, variant, data, known.datatype, known.count, known.on_done, deadline_ns, exchange.peer, now_ns
        )
        call.owner = exchange
        return call

    def _queue(
        self,
        served: ServedModel,
        items: Items,
        variant: str,
        routing_key: str,
        request_id: str,
        on_done: Callable[[Call], None],
        deadline_ns: int,
        exchange: Exchange,
    ) -> Call | None:
        """Route a checked request and queue it; returns as :meth:`begin`.

        Raises:
            TwinserveError: the request is refused before it is queued; ``exchange`` hears nothing.
        """
        call = self._engine.open_call(served, variant, routing_key, request_id)
        call.owner = exchange
        self._engine.run(call, items.data, items.datatype, items.count, on_done, deadline_ns, exchange.peer)
        return call if call.owner is not None else None

    @abstractmethod
    def begin(self, raw: bytes, deadline_ns: int, exchange: Exchange, /) -> Call | None:
        """Parse, check and queue any request; its outcome goes to ``exchange``, perhaps before this returns.

        Returns:
            The argument for :meth:`abandon`; None if the exchange is already over.
        """

    def abandon(self, call: Call, error: TwinserveError) -> None:
        """See :meth:`DirectMethod.abandon`."""
        self._engine.abandon(call, error)
