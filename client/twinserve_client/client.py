"""The client for threads, scripts and notebooks (and for greenlets, as it starts no threads)."""

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
    """A connection to a twinserve server. Thread-safe; usable as a context manager. Connects on the first call.

    Args:
        target: host:port, several separated by commas, a ``twinserve://`` URL, or another address that gRPC resolves.
            None uses the environment variable ``TWINSERVE_TARGET``, or else 127.0.0.1:8500.
        model: the model to use; None for the server's default.
        timeout: seconds per call, including retries; None for no limit.
        retries: a policy, the number of attempts after the first, or 0/None for none. See :class:`RetryPolicy`.
        retry_exhausted: retry what an overloaded server refuses as soon as it allows, until the timeout.
        tls: TLS settings; None for plain text, unless the target's URL says otherwise.
        token: sent as ``authorization: Bearer …``. None uses the environment variable ``TWINSERVE_TOKEN``; "" sends
            none.
        metadata: extra metadata for every call.
        isolated: use a separate connection; False shares one with the process's other clients of the same target.
        channel_options: gRPC channel arguments; override the SDK's own.
        admin_target: the admin port, if the server has one: for traffic, versions and status. None uses ``target``.

    Raises:
        ConfigurationError: an argument is wrong; the message names it.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        model: str | None = None,
        timeout: float | None = 5.0,
        retries: RetryPolicy | int | None = RetryPolicy(),
        retry_exhausted: bool = False,
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
            retry_exhausted=retry_exhausted,
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
        self._session = self._admin = Session(self._connection, self._calls, self._timeout)
        if admin_target is not None:
            self._admin = Session(self._admin_connection, self._calls, self._timeout)
        #: Lists, loads, activates and unloads versions of the client's model on the running servers.
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
        """Classify one or more images.

        The first answer from each model version triggers one DescribeModel call, to learn the class names.

        Args:
            images: uint8 (0..255) or floating point (in the model's range, usually 0..1), of the model's item shape or
                N x item shape; or a picture (a path or a PIL image) or a list of pictures, converted as the manifest
                says.
            inputs: the model's named tensors, instead of ``images``: all for one item, or all for N. Numbers are
                converted to the model's datatypes. The results of a model that is not a classifier are in
                ``Prediction.outputs``.
            variant: the variant that must answer; None lets the router choose.
            routing_key: requests with the same key go to the same variant as long as the weights do not change.
            request_id: identifies the request in logs, traces and feedback; at most 128 bytes.
            timeout: seconds, including retries; None for the client's own.

        Raises:
            InvalidInputError: wrong shape, datatype or size; ``violations`` names the field.
            NotFoundError: no such model or variant.
            CallError: any other failure; see the table in ``errors``.
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
            images: each element is one request, as for ``predict``. Consumed at most ``max_in_flight`` ahead.
            variant: as for ``predict``.
            routing_key: as for ``predict``.
            max_in_flight: the largest number of unanswered requests.
            on_error: when a request fails, "raise" raises its error in place of the answer and ends the stream;
                "return" yields the exception in place of the answer and continues.
            timeout: seconds for the whole stream; None for no limit.

        Raises:
            ConfigurationError: an option is wrong (raised immediately).
            CallError: a request or the whole stream failed (raised while iterating).
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
        """Run one input through several variants, or through all (None).

        Returns:
            The predictions by variant, in the requested order (sorted by name for None).

        Raises:
            InvalidInputError: wrong shape, datatype or size, or a variant is named twice.
            NotFoundError: no such model or variant.
            CallError: any other failure; see the table in ``errors``.
        """
        deadline = self._deadline(timeout)
        make = partial(self._calls.compare, images, variants, request_id)
        predictions = self._session.ask(make, deadline)
        for prediction in predictions.values():
            self._session.learn_names(prediction, deadline)
        return predictions

    def send_feedback(self, request_id: str, labels: npt.ArrayLike, *, timeout: float | None = None) -> Feedback:
        """Report the true classes of an earlier request, one per image. Never retried, so that it counts once.

        Raises:
            NotFoundError: the server never answered this request, or no longer remembers it.
            AlreadyExistsError: feedback for this request has already been counted.
            InvalidInputError: the number of labels differs from the number of images, or a label is not a class.
            CallError: any other failure; see the table in ``errors``.
        """
        call = self._calls.send_feedback(request_id, labels)
        if not self._connection.target.several:
            return self._call(call, timeout)
        return _fleet.only_answer(self._session.each(lambda _: call, self._deadline(timeout), request_id))

    def describe_model(self, *, version: str | int | None = None, timeout: float | None = None) -> ModelInfo:
        """Describe the served model: signature, class names, variants, manifest.

        Args:
            version: one that is loaded; None: the active one.
            timeout: seconds; None: the client's own.

        Raises:
            NotFoundError: no such model, or that version of it is not loaded.
            CallError: any other failure; see the table in ``errors``.
        """
        return self._call(self._calls.describe_model(version), timeout)

    def wait_until_ready(self, timeout: float = 60.0) -> ModelInfo:
        """Wait until the server answers and every variant of the model is warm.

        Raises:
            DeadlineExceededError: not ready within ``timeout`` seconds; the message says what was missing.
            CallError: the server answers, but waiting cannot help (no such model, permission denied, …).
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
        """The traffic policy, that is, how requests that name no variant are distributed.

        Asks every server behind the target, and needs an answer from at least one.

        Raises:
            ConflictError: the servers' policies differ.
            CallError: any other failure; see the table in ``errors``.
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
        """Replace the whole traffic policy on every server behind the target. Not retried.

        With several servers, nothing is changed unless all of them answer.

        Args:
            weights: relative weight by variant; a variant left out answers only requests that name it.
            shadows: by variant, the share (0..1) of requests that also run on it, after they are answered.
            if_generation: change only if the policy still has this generation; for several servers, the
                ``generations`` of a ``Traffic``.
            timeout: seconds; None for the client's own.

        Raises:
            InvalidInputError: unknown variant, or a weight or share out of range.
            ConflictError: the policy's generation has changed.
            PartlyAppliedError: some servers applied the change and others failed; names them.
            CallError: any other failure; see the table in ``errors``.
        """
        change = partial(self._calls.set_traffic, weights, shadows)
        if not self._admin_connection.target.several:
            return self._call_admin(change(if_generation), timeout)
        deadline = self._deadline(timeout)
        change(None)  # report wrong arguments before calling any server
        wanted = _fleet.expected(self._admin.each(lambda _: self._calls.get_traffic(), deadline), if_generation)
        return _fleet.applied(self._admin.each(lambda server: change(wanted[server]), deadline))

    def get_status(self, *, timeout: float | None = None) -> ServerStatus:
        """The server's processes, with memory and CPU time; with several servers, those of the one that answers."""
        return self._call_admin(self._calls.get_status(), timeout)

    def get_statuses(self, *, timeout: float | None = None) -> dict[str, ServerStatus | CallError]:
        """The status of each server behind the target, or its error, by address."""
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
