"""Convert protobuf responses into the SDK's return types. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import grpc
import numpy as np

from twinserve.v1 import admin_pb2, predict_pb2
from twinserve_client import types
from twinserve_client._named import NAMES, decode_named
from twinserve_client.errors import InternalError

_NS: Final = 1e-9
_FP32: Final = np.dtype("<f4")
_ROUTES: Final[dict[int, types.Route]] = {predict_pb2.ROUTE_NAMED: "named", predict_pb2.ROUTE_SPLIT: "split"}

_STATES: Final[dict[int, types.VersionState]] = {
    admin_pb2.VERSION_STATE_AVAILABLE: "available",
    admin_pb2.VERSION_STATE_LOADING: "loading",
    admin_pb2.VERSION_STATE_LOADED: "loaded",
    admin_pb2.VERSION_STATE_UNLOADING: "unloading",
    admin_pb2.VERSION_STATE_BROKEN: "broken",
}


def prediction(response: predict_pb2.PredictResponse, names: types.ClassNames) -> types.Prediction:
    """Convert a PredictResponse into arrays.

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
        np.frombuffer(raw, _FP32).reshape(count, class_count) if raw else np.empty((count, class_count), _FP32),
        served.model,
        served.version,
        served.variant,
        served.sha256,
        _timing(response.timing),
        response.request_id,
        _ROUTES.get(response.route, "unspecified"),
        names,
        served.manifest_digest,
        decode_named(response) if response.outputs else {},
    )


def model_info(response: predict_pb2.DescribeModelResponse) -> types.ModelInfo:
    """The description of a model."""
    return types.ModelInfo(
        model=response.model,
        version=response.version,
        item_shape=tuple(response.item_shape),
        datatypes=tuple(NAMES.get(datatype, str(datatype)) for datatype in response.datatypes),
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
                platform=variant.platform,
            )
            for variant in response.variants
        ),
        models=tuple(response.models),
        manifest_json=response.manifest_json,
        inputs=_tensors(response.inputs),
        outputs=_tensors(response.outputs),
    )


def _tensors(described: Iterable[predict_pb2.TensorDescription]) -> tuple[types.TensorInfo, ...]:
    return tuple(
        types.TensorInfo(tensor.name, NAMES.get(tensor.datatype, str(tensor.datatype)), tuple(tensor.shape))
        for tensor in described
    )


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


def feedback(response: predict_pb2.SendFeedbackResponse) -> types.Feedback:
    return types.Feedback(response.variant, response.correct, response.total)


def traffic(response: admin_pb2.GetTrafficResponse | admin_pb2.SetTrafficResponse) -> types.Traffic:
    """The policy in force."""
    policy = response.traffic
    return types.Traffic(
        model=policy.model,
        weights=dict(policy.weights),
        shadows={shadow.variant: shadow.share for shadow in policy.shadows},
        generation=policy.generation,
    )


def versions(response: admin_pb2.ListVersionsResponse) -> tuple[types.ModelVersions, ...]:
    """The versions of every model in the response."""
    return tuple(_model_versions(model) for model in response.models)


def changed_versions(
    response: admin_pb2.LoadVersionResponse | admin_pb2.ActivateVersionResponse | admin_pb2.UnloadVersionResponse,
) -> types.ModelVersions:
    """The versions of the changed model."""
    return _model_versions(response.model)


def _model_versions(model: admin_pb2.ModelVersions) -> types.ModelVersions:
    return types.ModelVersions(
        model=model.model,
        active=model.active,
        previous=model.previous,
        versions=tuple(
            types.VersionInfo(
                version=entry.version,
                state=_STATES.get(entry.state, "unspecified"),
                reason=entry.reason,
                variants=tuple(entry.variants),
            )
            for entry in model.versions
        ),
    )


def status(response: admin_pb2.GetStatusResponse) -> types.ServerStatus:
    """The state of every process."""
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
                model=process.model,
                version=process.version,
            )
            for process in response.processes
        ),
    )
