"""The client for threads, scripts and notebooks (and for greenlets: it starts no thread of its own)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Final, Literal, Self, TypeVar, overload

import numpy.typing as npt

from twinserve_client import _fleet, _stream
from twinserve_client._arguments import one_of, seconds
from twinserve_client._calls import Call, Calls
from twinserve_client._channel import TLS, Connection, Option
from twinserve_client._retry import RetryPolicy
from twinserve_client._session import Session
from twinserve_client._waiting import Deadline, Readiness
from twinserve_client.errors import CallError, ConfigurationError
from twinserve_client.types import Feedback, ImageInput, ModelInfo, Prediction, ServerStatus, Traffic
from twinserve_client.versions import Versions

T = TypeVar("T")


class Client:
    """A connection to a twinserve server. Safe to share between threads; use it as a context manager.

    Args:
        target: host:port (or any other address that gRPC resolves).
        model: the model that is meant; None: the server's default.
        timeout: seconds that a call may take, retries included; None: no limit.
        retries: a policy, a number of further attempts, or 0/None for none. See :class:`RetryPolicy`.
        tls: encrypt; None: plain text.
        token: sent as ``authorization: Bearer …``; None: what the variable ``TWINSERVE_TOKEN`` holds, "": nothing.
        metadata: further headers of every call.
        isolated: use a connection of its own; False shares one with the process's other clients of the target.
        channel_options: gRPC channel arguments, stronger than the SDK's own.
        admin_target: for traffic, versions and status, of a server with an admin port; None: ``target``.

    Raises:
        ConfigurationError: names the argument that is wrong. Nothing is connected before the first call.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        model: str | None = None,
        timeout: float | None = 5.0,
        retries: RetryPolicy | int | None = RetryPolicy(),
        tls: TLS | None = None,
        token: str | None = None,
        metadata: Mapping[str, str] | None = None,
        isolated: bool = True,
        channel_options: Sequence[Option] = (),
        admin_target: str | None = None,
    ) -> None:
        connect = partial(
            Connection.of,
            retries=retries,
            tls=tls,
            token=token,
            metadata=metadata,
            isolated=isolated,
            channel_options=channel_options,
        )
        self._connection = connect(target)
        self._admin_connection = self._connection if admin_target is None else connect(admin_target)
        self._timeout = seconds("timeout", timeout, ConfigurationError)
        self._calls = Calls(model)
        self._session = Session(self._connection, self._calls, self._timeout)
        self._admin = (
            self._session if admin_target is None else Session(self._admin_connection, self._calls, self._timeout)
        )
        #: Of its model, in the running servers.
        self.versions: Final = Versions(self._admin_connection, self._admin, self._calls, self._deadline)

    def predict(
        self,
        images: ImageInput | None = None,
        *,
        inputs: Mapping[str, npt.ArrayLike] | None = None,
        variant: str | None = None,
        routing_key: str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Prediction:
        """Classify one or many images.

        The first answer of a model version is followed by one DescribeModel call, for the class names.

        Args:
            images: uint8 (0..255) or floating point (in the model's range, mostly 0..1), the item shape or N x item; or
                a picture (a path or a PIL image), or a list of them, which become what the manifest asks for.
            inputs: instead of images: the tensors of the model by name, all of one item or all of N; numbers become the
                datatype that the model takes. What a model returns that is no classifier is in ``Prediction.outputs``.
            variant: which variant must answer; None: the router decides.
            routing_key: requests with the same key meet the same variant while the weights stand.
            request_id: names the request in logs, traces and feedback; at most 128 bytes.
            timeout: seconds, retries included; None: the client's own.

        Raises:
            InvalidInputError: shape, datatype or size are wrong; ``violations`` names the field.
            NotFoundError: no such model or variant.
            CallError: any other failure, by the table in ``errors``.
        """
        deadline = self._deadline(timeout)
        make = partial(self._calls.predict, one_of(images, inputs), variant, routing_key, request_id)
        prediction = self._session.ask(make, deadline)
        self._session.learn_names(prediction, deadline)
        return prediction

    @overload
    def predict_stream(
        self,
        images: Iterable[ImageInput],
        *,
        variant: str | None = ...,
        routing_key: str | None = ...,
        max_in_flight: int = ...,
        on_error: Literal["raise"] = ...,
        timeout: float | None = ...,
    ) -> Iterator[Prediction]: ...
    @overload
    def predict_stream(
        self,
        images: Iterable[ImageInput],
        *,
        variant: str | None = ...,
        routing_key: str | None = ...,
        max_in_flight: int = ...,
        on_error: Literal["return"],
        timeout: float | None = ...,
    ) -> Iterator[Prediction | CallError]: ...
    def predict_stream(
        self,
        images: Iterable[ImageInput],
        *,
        variant: str | None = None,
        routing_key: str | None = None,
        max_in_flight: int = 64,
        on_error: _stream.OnError = "raise",
        timeout: float | None = None,
    ) -> Iterator[Prediction | CallError]:
        """Classify many requests over one stream; answers come in the order of ``images``.

        Args:
            images: each item is one request, as for ``predict``. Drawn no further ahead than ``max_in_flight``.
            variant: as for ``predict``.
            routing_key: as for ``predict``.
            max_in_flight: the most requests without an answer.
            on_error: "raise" raises the error of an item in its place and ends the stream; "return" yields the
                exception in its place and goes on.
            timeout: seconds for the whole stream; None: no limit.

        Raises:
            ConfigurationError: an option is wrong (at once).
            CallError: an item failed, or the stream as a whole (while iterating).
        """
        images = _stream.check_arguments(images, max_in_flight, on_error)
        encode = self._calls.stream_request(variant, routing_key)
        return self._session.stream(images, encode, max_in_flight, on_error, seconds("timeout", timeout))

    def compare(
        self,
        images: ImageInput,
        variants: Sequence[str] | None = None,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Prediction]:
        """Run one input through several variants; None: through all.

        Returns:
            The predictions by variant, in the order asked for (or by name).

        Raises:
            InvalidInputError: shape, datatype or size are wrong, or a variant is named twice.
            NotFoundError: no such model or variant.
            CallError: any other failure, by the table in ``errors``.
        """
        deadline = self._deadline(timeout)
        make = partial(self._calls.compare, images, variants, request_id)
        predictions = self._session.ask(make, deadline)
        for prediction in predictions.values():
            self._session.learn_names(prediction, deadline)
        return predictions

    def send_feedback(self, request_id: str, labels: npt.ArrayLike, *, timeout: float | None = None) -> Feedback:
        """Tell the true classes of an earlier request, one an image. Never retried: it is counted once.

        Raises:
            NotFoundError: the request was never answered here, or is forgotten by now.
            AlreadyExistsError: its feedback was already counted.
            InvalidInputError: the number of labels differs from the images, or one is not a class.
            CallError: any other failure, by the table in ``errors``.
        """
        call = self._calls.send_feedback(request_id, labels)
        if not self._connection.target.several:
            return self._call(call, timeout)
        return _fleet.only_answer(self._session.each(lambda _: call, self._deadline(timeout), request_id))

    def describe_model(self, *, timeout: float | None = None) -> ModelInfo:
        """What is served: signature, class names, variants, the manifest.

        Raises:
            NotFoundError: no such model.
            CallError: any other failure, by the table in ``errors``.
        """
        return self._call(self._calls.describe_model(), timeout)

    def wait_until_ready(self, timeout: float = 60.0) -> ModelInfo:
        """Wait until the server answers and every variant of the model is warm.

        Raises:
            DeadlineExceededError: it was not so within ``timeout`` seconds; the message says what was missing.
            CallError: the server answers, but waiting cannot help (no such model, not allowed, …).
        """
        readiness = Readiness(seconds("timeout", timeout))
        while readiness.waiting():
            try:
                info = self._session.run(self._calls.describe_model(), readiness.attempt_seconds, wait_for_ready=True)
            except CallError as error:
                readiness.failed(error)
            else:
                if readiness.described(info):
                    return info
            time.sleep(readiness.pause_seconds)
        raise readiness.timed_out(self._connection.target.text)

    def get_traffic(self, *, timeout: float | None = None) -> Traffic:
        """How requests that name no variant are shared, on every server behind the target that answers.

        Raises:
            ConflictError: the servers have different policies.
            CallError: any other failure, by the table in ``errors``.
        """
        call = self._calls.get_traffic()
        if not self._admin_connection.target.several:
            return self._call_admin(call, timeout)
        return _fleet.agreed(self._admin.each(lambda _: call, self._deadline(timeout)))

    def set_traffic(
        self,
        weights: Mapping[str, float],
        *,
        shadows: Mapping[str, float] | None = None,
        if_generation: int | Mapping[str, int] | None = None,
        timeout: float | None = None,
    ) -> Traffic:
        """Replace the whole traffic policy, in every gateway of every server behind the target. Not retried.

        Of several servers, all must answer before one is changed.

        Args:
            weights: relative weight by variant; one that is missing answers only requests that name it.
            shadows: share (0..1) by variant of the requests that also run there after their answer; None: none.
            if_generation: change only when the policy still has this generation; ``generations`` of a ``Traffic`` for
                several servers.
            timeout: seconds; None: the client's own.

        Raises:
            InvalidInputError: an unknown variant, a weight or share out of range.
            ConflictError: the policy has another generation by now.
            PartlyAppliedError: some of several servers took the change, others failed meanwhile; says which.
            CallError: any other failure, by the table in ``errors``.
        """
        change = partial(self._calls.set_traffic, weights, shadows)
        if not self._admin_connection.target.several:
            return self._call_admin(change(if_generation), timeout)
        deadline = self._deadline(timeout)
        change(None)  # wrong arguments are told before anybody is asked
        wanted = _fleet.expected(self._admin.each(lambda _: self._calls.get_traffic(), deadline), if_generation)
        return _fleet.applied(self._admin.each(lambda server: change(wanted[server]), deadline))

    def get_status(self, *, timeout: float | None = None) -> ServerStatus:
        """The processes of the server (of several: of the one that answers), with their memory and CPU time."""
        return self._call_admin(self._calls.get_status(), timeout)

    def get_statuses(self, *, timeout: float | None = None) -> dict[str, ServerStatus | CallError]:
        """The status of each server behind the target by its address, or why it has none."""
        call = self._calls.get_status()
        return self._admin.each(lambda _: call, self._deadline(timeout))

    def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        self._session.close()
        if self._admin is not self._session:
            self._admin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _call_admin(self, call: Call[T], timeout: float | None) -> T:
        return self._admin.run(call, self._deadline(timeout).seconds)

    def _call(self, call: Call[T], timeout: float | None) -> T:
        return self._session.run(call, self._deadline(timeout).seconds)

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline(self._timeout if timeout is None else seconds("timeout", timeout))
