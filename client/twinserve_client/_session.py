"""How ``Client`` sends its calls: one channel, class names for the answers, a span around each call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from typing import Any, TypeVar

import grpc

from twinserve_client import _stream
from twinserve_client._calls import Call, Calls, DescribeFirst, bind
from twinserve_client._channel import Connection, Metadata
from twinserve_client._fleet import in_turn, settled
from twinserve_client._retry import pause_when_refused
from twinserve_client._status import error_of_rpc
from twinserve_client._tracing import Tracing
from twinserve_client._waiting import Deadline
from twinserve_client.errors import CallError, ClientClosedError, InvalidInputError, OverloadedError
from twinserve_client.types import Prediction

T = TypeVar("T")


class Session:
    """One connection, shared by threads."""

    def __init__(self, connection: Connection, calls: Calls, timeout: float | None) -> None:
        """``timeout``: seconds for the SDK's own calls, such as fetching class names during a stream."""
        self._connection = connection
        self._metadata = connection.metadata
        self._members: dict[str, Session] = {}
        self._calls = calls
        self._timeout = timeout
        self._tracing = Tracing.of(connection.target)
        self._naming = threading.Lock()
        self._channel = connection.open()
        self._methods = bind(self._channel)

    def run(self, call: Call[T], seconds: float | None, *, wait_for_ready: bool | None = None) -> T:
        """Send one call and return its decoded response.

        Raises:
            CallError: the call failed.
            ClientClosedError: the client is closed.
        """
        if not self._connection.retry_exhausted:
            return self._attempt(call, seconds, wait_for_ready)
        deadline = Deadline(seconds)
        while True:
            try:
                return self._attempt(call, deadline.left(), wait_for_ready)
            except OverloadedError as error:
                if (pause := pause_when_refused(call.method, error, deadline.left())) is None:
                    raise
            time.sleep(pause)

    def _attempt(self, call: Call[T], seconds: float | None, wait_for_ready: bool | None) -> T:
        if self._tracing is None:
            return self._send(call, seconds, self._metadata, wait_for_ready)
        with self._traced(call.method) as metadata:
            return self._send(call, seconds, metadata, wait_for_ready)

    def ask(self, make: Callable[[bool], Call[T]], deadline: Deadline) -> T:
        """Send the call that ``make`` builds, after describing the model if building it needs that."""
        try:
            call = make(False)
        except DescribeFirst:
            with suppress(CallError):
                self.run(self._calls.describe_model(), deadline.left())
            call = make(True)
        try:
            return self.run(call, deadline.left())
        except InvalidInputError:
            self._calls.doubt()
            raise

    def each(self, make: Callable[[str], Call[T]], deadline: Deadline, by: str = "") -> dict[str, T | CallError]:
        """Call every server individually; returns each outcome by address.

        Args:
            make: builds the call for a server.
            deadline: shared by all calls.
            by: id of the request concerned; once a server has handled it, no other is called.
        """
        outcomes: dict[str, T | CallError] = {}
        connections = self._connection.members()
        for server, connection in in_turn(connections, by):
            if connection is not self._connection and server not in self._members:
                self._members[server] = Session(connection, self._calls, self._timeout)
            try:
                outcomes[server] = self._members.get(server, self).run(make(server), deadline.left())
            except CallError as error:
                outcomes[server] = error
            if by and settled(outcomes[server]):
                break
        return outcomes

    def stream(
        self,
        images: Any,
        encode: Callable[[Any, bool], Any],
        max_in_flight: int,
        on_error: _stream.OnError,
        timeout: float | None,
    ) -> Iterator[Prediction | CallError]:
        """Send many requests over one stream; answers come in order."""

        def prepared(item: Any) -> Any:
            try:
                return encode(item, False)
            except DescribeFirst:
                with suppress(CallError):
                    self.run(self._calls.describe_model(), self._timeout)
                return encode(item, True)

        feed = _stream.Feed(images, max_in_flight, prepared)
        with self._traced("PredictStream") as metadata:
            rpc = self._method("PredictStream")(feed.requests(), timeout, metadata)
            with closing(feed.outcomes(rpc, self._calls.prediction)) as outcomes:
                for outcome in outcomes:
                    if isinstance(outcome, Prediction):
                        self.learn_names(outcome, Deadline(self._timeout))
                    elif on_error == "raise":
                        raise outcome
                    yield outcome

    def learn_names(self, prediction: Prediction, deadline: Deadline) -> None:
        """Fetch the class names of the manifest that answered; a failure does not affect the answer."""
        if not self._calls.lacks_names(prediction):
            return
        with self._naming:
            # What the active version's description does not tell, that of the version that answered does.
            for version in (None, prediction.version):
                if not self._calls.lacks_names(prediction) or (left := deadline.left()) == 0:
                    return
                try:
                    self.run(self._calls.describe_model(version), left)
                except CallError as error:
                    self._calls.keeps_names_secret(prediction, error)

    def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        self._methods = {}
        for member in self._members.values():
            member.close()
        self._channel.close()

    def _send(self, call: Call[T], seconds: float | None, metadata: Metadata | None, wait_for_ready: bool | None) -> T:
        try:
            response = self._method(call.method)(call.request, seconds, metadata, None, wait_for_ready)
        except grpc.RpcError as error:
            raise error_of_rpc(error, call.request_id) from error
        except ValueError:  # closed between look-up and call
            if self._methods:
                raise
            raise _closed() from None
        return call.decode(response)

    def _method(self, name: str) -> Any:
        try:
            return self._methods[name]
        except KeyError:
            raise _closed() from None

    def _traced(self, method: str) -> AbstractContextManager[Metadata | None]:
        if self._tracing is None:
            return nullcontext(self._metadata)
        return self._tracing.span(method, self._metadata)


def _closed() -> ClientClosedError:
    return ClientClosedError("the client is closed; make a new one")
