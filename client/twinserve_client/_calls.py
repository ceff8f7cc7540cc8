"""The I/O-free core of both clients: builds the request of each method and decodes its response.

A client method builds a :class:`Call` here, sends it over the client's own channel, and decodes the response here.
Nothing in this module blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import grpc
import numpy as np
import numpy.typing as npt
from google.protobuf.message import Message

from twinserve.v1 import admin_pb2, admin_pb2_grpc, predict_pb2, predict_pb2_grpc
from twinserve_client import _answers, types
from twinserve_client._arguments import flag, shares, text, texts, version_number, whole
from twinserve_client._named import encode_named
from twinserve_client._tensor import encode_labels, encode_tensor, out_of_range
from twinserve_client.errors import (
    CallError,
    ConfigurationError,
    DeadlineExceededError,
    InternalError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    UnavailableError,
)
from twinserve_client.pictures import holds_pictures, items_of

T_co = TypeVar("T_co", covariant=True)


@dataclass(slots=True)
class Call(Generic[T_co]):
    """One RPC, ready to send: method name, request message and response decoder."""

    method: str
    request: Message
    decode: Callable[[Any], T_co]
    request_id: str = ""


def bind(channel: grpc.Channel | grpc.aio.Channel) -> dict[str, Callable[..., Any]]:
    """The service's methods on ``channel``, by name."""
    predict = predict_pb2_grpc.PredictServiceStub(channel)
    admin = admin_pb2_grpc.AdminServiceStub(channel)
    return {**vars(predict), **vars(admin)}


class DescribeFirst(Exception):  # noqa: N818  (a signal to the session, not an error)
    """The call cannot be built until the model has been described (again)."""


class Calls:
    """Builds the calls of one client and decodes their answers."""

    def __init__(self, model: str | None) -> None:
        self._model = text("model", model, ConfigurationError)
        #: The last description; None if there was none, or it may be out of date.
        self._info: types.ModelInfo | None = None
        self._range: tuple[float, float] | None = None
        #: Filled by every DescribeModel answer; shared with the predictions.
        self._names: types.ClassNames = {}

    def predict(
        self,
        images: types.ImageInput,
        variant: str | None = None,
        routing_key: str | None = None,
        request_id: str | None = None,
        described: bool = False,
    ) -> Call[types.Prediction]:
        """One request with one or many images.

        Args:
            described: DescribeModel has just been tried; build the request with what is known.

        Raises:
            InvalidInputError: an argument cannot be sent.
            DescribeFirst: the images cannot be checked until the model is described; never with ``described``.
        """
        name = text("request_id", request_id)
        request = predict_pb2.PredictRequest(
            **self._items(images, described),
            variant=text("variant", variant),
            model=self._model,
            routing_key=text("routing_key", routing_key),
            request_id=name,
        )
        return Call("Predict", request, self.prediction, name)

    def stream_request(
        self, variant: str | None, routing_key: str | None
    ) -> Callable[[types.ImageInput, bool], predict_pb2.PredictRequest]:
        """A function that turns images into one request of a stream; both raise as ``predict`` does."""
        variant, routing_key = text("variant", variant), text("routing_key", routing_key)

        def encode(images: types.ImageInput, described: bool) -> predict_pb2.PredictRequest:
            return predict_pb2.PredictRequest(
                **self._items(images, described),
                variant=variant,
                model=self._model,
                routing_key=routing_key,
            )

        return encode

    def compare(
        self, images: types.ImageInput, variants: Sequence[str] | None, request_id: str | None, described: bool = False
    ) -> Call[dict[str, types.Prediction]]:
        """One input through several variants; raises as ``predict`` does."""
        name = text("request_id", request_id)
        names = texts("variants", variants)
        request = predict_pb2.CompareRequest(
            **self._items(images, described),
            variants=names,
            model=self._model,
            request_id=name,
        )
        return Call("Compare", request, partial(self._comparison, names), name)

    def send_feedback(self, request_id: str, labels: npt.ArrayLike) -> Call[types.Feedback]:
        """The true classes of an earlier request.

        Raises:
            InvalidInputError: the labels are not class numbers, or the id is not text.
        """
        name = text("request_id", request_id)
        if not name:
            raise InvalidInputError.of("request_id", "is empty; give the request_id of a Prediction")
        request = predict_pb2.SendFeedbackRequest(request_id=name, labels=encode_labels(labels))
        return Call("SendFeedback", request, _answers.feedback, name)

    def describe_model(self, version: str | int | None = None) -> Call[types.ModelInfo]:
        """What is served, of one version; None: of the active one. Raises InvalidInputError when it is none."""
        request = predict_pb2.DescribeModelRequest(model=self._model, version=version_number(version))
        if not request.version:
            return Call("DescribeModel", request, self._active_info)
        return Call("DescribeModel", request, partial(self._version_info, request.version))

    def get_traffic(self) -> Call[types.Traffic]:
        """The traffic policy in force."""
        return Call("GetTraffic", admin_pb2.GetTrafficRequest(model=self._model), _answers.traffic)

    def set_traffic(
        self,
        weights: Mapping[str, float],
        shadows: Mapping[str, float] | None,
        if_generation: int | Mapping[str, int] | None,
    ) -> Call[types.Traffic]:
        """Replace the traffic policy.

        Raises:
            InvalidInputError: an argument has the wrong type; a single server takes no generations by address.
        """
        shadowed = shares("shadows", shadows).items()
        request = admin_pb2.SetTrafficRequest(
            traffic=admin_pb2.Traffic(
                model=self._model,
                weights=shares("weights", weights),
                shadows=[admin_pb2.Shadow(variant=name, share=share) for name, share in shadowed],
            ),
            if_generation=None if if_generation is None else whole("if_generation", if_generation, 0, 2**64 - 1),
        )
        return Call("SetTraffic", request, _answers.traffic)

    def list_versions(self) -> Call[tuple[types.ModelVersions, ...]]:
        """The versions of the client's model, or of every model."""
        return Call("ListVersions", admin_pb2.ListVersionsRequest(model=self._model), _answers.versions)

    def load_version(self, version: str | int | None) -> Call[types.ModelVersions]:
        """Load a version; raises InvalidInputError when ``version`` is not one."""
        request = admin_pb2.LoadVersionRequest(model=self._model, version=version_number(version))
        return Call("LoadVersion", request, _answers.changed_versions)

    def activate_version(
        self, version: str | int | None, keep_previous: bool, if_active: str | int | None
    ) -> Call[types.ModelVersions]:
        """Activate a version; raises InvalidInputError when an argument has the wrong type."""
        request = admin_pb2.ActivateVersionRequest(
            model=self._model,
            version=version_number(version),
            keep_previous=flag("keep_previous", keep_previous),
            if_active=None if if_active is None else version_number(if_active, "if_active"),
        )
        return Call("ActivateVersion", request, _answers.changed_versions)

    def unload_version(self, version: str | int) -> Call[types.ModelVersions]:
        """Unload a version; raises InvalidInputError when ``version`` is empty or not one."""
        number = version_number(version)
        if not number:
            raise InvalidInputError.of("version", "is empty; give the version to unload")
        request = admin_pb2.UnloadVersionRequest(model=self._model, version=number)
        return Call("UnloadVersion", request, _answers.changed_versions)

    def unload_all(self) -> Call[types.ModelVersions]:
        """Unload every version of the model."""
        request = admin_pb2.UnloadVersionRequest(model=self._model, all=True)
        return Call("UnloadVersion", request, _answers.changed_versions)

    def get_status(self) -> Call[types.ServerStatus]:
        """The processes of the server."""
        return Call("GetStatus", admin_pb2.GetStatusRequest(), _answers.status)

    def doubt(self) -> None:
        """The server rejected an input: it may have been replaced by one that takes something else."""
        self._info = None

    def _items(self, images: object, described: bool) -> dict[str, Any]:
        """The request field for the images or the named tensors; raises as ``_tensor`` does."""
        if not isinstance(images, Mapping):
            return {"input": self._tensor(images, described)}
        if self._info is None and not described:
            # Their datatypes come from the description.
            raise DescribeFirst
        return {"inputs": encode_named(images, self._info)}

    def _tensor(self, images: object, described: bool) -> predict_pb2.Tensor:
        """The images as a tensor whose values are within the manifest's range.

        Raises:
            InvalidInputError: they cannot be sent, or are out of range.
            DescribeFirst: the range is unknown, or they are out of range for a server that may have been replaced.
        """
        if type(images) is not np.ndarray and holds_pictures(images):
            if self._info is None:
                if not described:
                    raise DescribeFirst
                raise InvalidInputError.of("input", "is a picture, but the server does not say what its model takes")
            images = items_of(images, self._info)
        tensor = encode_tensor(images)
        if tensor.datatype == predict_pb2.DATA_TYPE_FP32:
            # A server that does not describe its model has to check the range itself.
            if self._info is None and not described:
                raise DescribeFirst
            if self._info is not None and self._range is not None and (error := out_of_range(tensor, self._range)):
                raise error if described else DescribeFirst
        return tensor

    def lacks_names(self, prediction: types.Prediction) -> bool:
        """Whether the model's description is needed for the class names of ``prediction``."""
        return prediction.manifest_key not in self._names

    def keeps_names_secret(self, prediction: types.Prediction, error: CallError) -> None:
        """Note why the description failed, and do not ask again if a later attempt cannot help."""
        if not isinstance(error, UnavailableError | DeadlineExceededError | OverloadedError):
            self._names.setdefault(prediction.manifest_key, ())

    def prediction(self, response: predict_pb2.PredictResponse) -> types.Prediction:
        """Convert a PredictResponse into arrays; raises InternalError when its parts contradict each other."""
        return _answers.prediction(response, self._names)

    def _comparison(self, names: list[str], response: predict_pb2.CompareResponse) -> dict[str, types.Prediction]:
        """Keyed by the requested names: two versions of a variant report the same name themselves."""
        answers = response.responses
        if not names:
            names = [answer.served_by.variant for answer in answers]
        elif len(names) != len(answers):
            raise InternalError(
                f"{len(answers)} answers for {len(names)} variants; one each is needed", code=grpc.StatusCode.DATA_LOSS
            )
        return {name: self.prediction(answer) for name, answer in zip(names, answers, strict=True)}

    def _active_info(self, response: predict_pb2.DescribeModelResponse) -> types.ModelInfo:
        info = self._model_info(response)
        self._info, self._range = info, info.value_range
        return info

    def _version_info(self, version: str, response: predict_pb2.DescribeModelResponse) -> types.ModelInfo:
        if response.version != version:
            raise NotFoundError(
                f"version: the server describes its active version, {response.version}, in the place of {version}; "
                "it is older than this client: update it",
                code=grpc.StatusCode.NOT_FOUND,
            )
        return self._model_info(response)

    def _model_info(self, response: predict_pb2.DescribeModelResponse) -> types.ModelInfo:
        info = _answers.model_info(response)
        self._names[info.model, info.version, response.manifest_digest] = info.labels
        return info
