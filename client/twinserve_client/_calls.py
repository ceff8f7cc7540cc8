"""The one core under both clients: what is sent for a method, and what is made of its answer.

A method of a client builds a :class:`Call` here, sends it through its own channel, and has the answer decoded here.
Nothing in this module waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import grpc
import numpy as np
import numpy.typing as npt
from google.protobuf.message import Message

from twinserve.v1 import admin_pb2, admin_pb2_grpc, predict_pb2, predict_pb2_grpc
from twinserve_client import types
from twinserve_client._tensor import encode_tensor
from twinserve_client.errors import (
    CallError,
    DeadlineExceededError,
    InternalError,
    InvalidInputError,
    OverloadedError,
    UnavailableError,
)

T_co = TypeVar("T_co", covariant=True)

_NS: Final = 1e-9
_FP32: Final = np.dtype("<f4")
_DATATYPES: Final = {predict_pb2.DATA_TYPE_UINT8: "UINT8", predict_pb2.DATA_TYPE_FP32: "FP32"}
_ROUTES: Final[dict[int, types.Route]] = {predict_pb2.ROUTE_NAMED: "named", predict_pb2.ROUTE_SPLIT: "split"}


@dataclass(slots=True)
class Call(Generic[T_co]):
    """One RPC, ready to send: the method's name, its message, and what its answer becomes."""

    method: str
    request: Message
    decode: Callable[[Any], T_co]
    request_id: str = ""


def bind(channel: grpc.Channel | grpc.aio.Channel) -> dict[str, Callable[..., Any]]:
    """The methods of the contract on ``channel``, by name."""
    predict = predict_pb2_grpc.PredictServiceStub(channel)
    admin = admin_pb2_grpc.AdminServiceStub(channel)
    return {**vars(predict), **vars(admin)}


class Calls:
    """Builds the calls of one client and decodes their answers."""

    def __init__(self, model: str | None) -> None:
        self._model = model or ""
        #: Filled by every DescribeModel answer; shared with the predictions.
        self._names: types.ClassNames = {}

    def predict(
        self,
        images: npt.ArrayLike,
        variant: str | None = None,
        routing_key: str | None = None,
        request_id: str | None = None,
    ) -> Call[types.Prediction]:
        """One request with one or many images.

        Raises:
            InvalidInputError: the images cannot be sent.
        """
        request = predict_pb2.PredictRequest(
            input=encode_tensor(images),
            variant=variant or "",
            model=self._model,
            routing_key=routing_key or "",
            request_id=request_id or "",
        )
        return Call("Predict", request, self.prediction, request_id or "")

    def stream_request(
        self, variant: str | None, routing_key: str | None
    ) -> Callable[[npt.ArrayLike], predict_pb2.PredictRequest]:
        """What makes each request of a stream from its images; raises as ``predict`` does."""

        def encode(images: npt.ArrayLike) -> predict_pb2.PredictRequest:
            return predict_pb2.PredictRequest(
                input=encode_tensor(images),
                variant=variant or "",
                model=self._model,
                routing_key=routing_key or "",
            )

        return encode

    def compare(
        self, images: npt.ArrayLike, variants: Sequence[str] | None, request_id: str | None
    ) -> Call[dict[str, types.Prediction]]:
        """One input through several variants.

        Raises:
            InvalidInputError: the images cannot be sent, or ``variants`` is one text instead of a list.
        """
        if isinstance(variants, str):
            raise InvalidInputError.of("variants", f"is the text {variants!r}; give a list of names")
        request = predict_pb2.CompareRequest(
            input=encode_tensor(images),
            variants=variants or (),
            model=self._model,
            request_id=request_id or "",
        )
        return Call("Compare", request, self._comparison, request_id or "")

    def send_feedback(self, request_id: str, labels: npt.ArrayLike) -> Call[types.Feedback]:
        """The true classes of an earlier request.

        Raises:
            InvalidInputError: the labels are no class numbers.
        """
        numbers = np.atleast_1d(np.asarray(labels))
        if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or (numbers < 0).any():
            raise InvalidInputError.of("labels", f"{labels!r} are no class numbers (integers from 0, one an image)")
        request = predict_pb2.SendFeedbackRequest(request_id=request_id, labels=numbers.tolist())
        return Call("SendFeedback", request, _feedback, request_id)

    def describe_model(self) -> Call[types.ModelInfo]:
        """What is served."""
        return Call("DescribeModel", predict_pb2.DescribeModelRequest(model=self._model), self._model_info)

    def get_traffic(self) -> Call[types.Traffic]:
        """The traffic policy in force."""
        return Call("GetTraffic", admin_pb2.GetTrafficRequest(model=self._model), _traffic)

    def set_traffic(
        self, weights: Mapping[str, float], shadows: Mapping[str, float] | None, if_generation: int | None
    ) -> Call[types.Traffic]:
        """Replace the traffic policy."""
        request = admin_pb2.SetTrafficRequest(
            traffic=admin_pb2.Traffic(
                model=self._model,
                weights=weights,
                shadows=[admin_pb2.Shadow(variant=name, share=share) for name, share in (shadows or {}).items()],
            ),
            if_generation=if_generation,
        )
        return Call("SetTraffic", request, _traffic)

    def get_status(self) -> Call[types.ServerStatus]:
        """The processes of the server."""
        return Call("GetStatus", admin_pb2.GetStatusRequest(), _status)

    def lacks_names(self, prediction: types.Prediction) -> bool:
        """Whether the model's description is needed for the class names of ``prediction``."""
        return prediction.manifest_key not in self._names

    def keeps_names_secret(self, prediction: types.Prediction, error: CallError) -> None:
        """Note why the description failed: what a later attempt cannot mend is not asked for again."""
        if not isinstance(error, UnavailableError | DeadlineExceededError | OverloadedError):
            self._names.setdefault(prediction.manifest_key, ())

    def prediction(self, response: predict_pb2.PredictResponse) -> types.Prediction:
        """A PredictResponse as arrays.

        Raises:
            InternalError: its parts contradict each other.
        """
        count, class_count = len(response.classes), response.class_count
        raw = response.probabilities
        if len(raw) != 4 * count * class_count:
            raise InternalError(
                f"the answer holds {len(raw)} bytes of probabilities; "
                f"{count} images of {class_count} classes need {4 * count * class_count}",
                code=grpc.StatusCode.DATA_LOSS,
                request_id=response.request_id,
            )
        served = response.served_by
        return types.Prediction(
            np.fromiter(response.classes, np.int64, count),
            np.frombuffer(raw, _FP32).reshape(count, class_count),
            served.model,
            served.version,
            served.variant,
            served.sha256,
            _timing(response.timing),
            response.request_id,
            _ROUTES.get(response.route, "unspecified"),
            self._names,
            served.manifest_digest,
        )

    def _comparison(self, response: predict_pb2.CompareResponse) -> dict[str, types.Prediction]:
        return {answer.served_by.variant: self.prediction(answer) for answer in response.responses}

    def _model_info(self, response: predict_pb2.DescribeModelResponse) -> types.ModelInfo:
        info = types.ModelInfo(
            model=response.model,
            version=response.version,
            item_shape=tuple(response.item_shape),
            datatypes=tuple(_DATATYPES.get(datatype, str(datatype)) for datatype in response.datatypes),
            labels=tuple(response.labels),
            max_request_images=response.max_request_images,
            variants=tuple(
                types.VariantInfo(
                    name=variant.name,
                    sha256=variant.sha256,
                    artefact_bytes=variant.artefact_bytes,
                    ready=variant.ready,
                    weight=variant.weight,
                    max_batch_size=variant.max_batch_size,
                )
                for variant in response.variants
            ),
            models=tuple(response.models),
            manifest_json=response.manifest_json,
        )
        self._names[info.model, info.version, response.manifest_digest] = info.labels
        return info


def _timing(timing: predict_pb2.Timing) -> types.Timing:
    return types.Timing(
        timing.queue_ns * _NS,
        timing.transfer_ns * _NS,
        timing.preprocess_ns * _NS,
        timing.inference_ns * _NS,
        timing.postprocess_ns * _NS,
        timing.total_ns * _NS,
        timing.batch_size,
    )


def _feedback(response: predict_pb2.SendFeedbackResponse) -> types.Feedback:
    return types.Feedback(response.variant, response.correct, response.total)


def _traffic(response: admin_pb2.GetTrafficResponse | admin_pb2.SetTrafficResponse) -> types.Traffic:
    """The policy in force."""
    policy = response.traffic
    return types.Traffic(
        model=policy.model,
        weights=dict(policy.weights),
        shadows={shadow.variant: shadow.share for shadow in policy.shadows},
        generation=policy.generation,
    )


def _status(response: admin_pb2.GetStatusResponse) -> types.ServerStatus:
    """Every process and how it fares."""
    return types.ServerStatus(
        version=response.version,
        uptime_seconds=response.uptime_seconds,
        processes=tuple(
            types.ProcessStatus(
                name=process.name,
                role=process.role,
                pid=process.pid,
                ready=process.ready,
                restarts=process.restarts,
                variant=process.variant,
                pss_bytes=process.pss_bytes,
                cpu_seconds=process.cpu_seconds,
            )
            for process in response.processes
        ),
    )
