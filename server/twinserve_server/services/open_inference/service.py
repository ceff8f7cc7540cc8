"""The methods of ``inference.GRPCInferenceService`` except inference, which is in ``infer``."""

from __future__ import annotations

from importlib.metadata import version as package_version
from typing import Any, Final

from twinserve.inference import open_inference_pb2 as pb
from twinserve_server.artefact.datatypes import DATATYPES
from twinserve_server.artefact.manifest import Variant
from twinserve_server.artefact.platforms import platform_of
from twinserve_server.engine.engine import Engine
from twinserve_server.engine.served import ServedModel
from twinserve_server.ipc.control import ControlLine
from twinserve_server.ipc.messages import GetStatistics, Statistics
from twinserve_server.rpc.callback import DirectStream
from twinserve_server.services.admin import call_supervisor
from twinserve_server.services.decode import Limits
from twinserve_server.services.open_inference.encode import encode_stream_failure, encode_stream_response
from twinserve_server.services.open_inference.infer import ModelInferMethod
from twinserve_server.services.open_inference.names import (
    addressable,
    is_ready,
    outputs_of,
    resolve,
)
from twinserve_server.services.open_inference.repository import RepositoryService
from twinserve_server.services.open_inference.statistics import model_statistics
from twinserve_server.services.predict_method import stream_window

SERVER: Final = "twinserve"
EXTENSIONS: Final = ("classification", "model_repository", "model_configuration", "statistics")

_CONFIG_TYPES: Final = {name: pb.DataType.Value(f"TYPE_{name}") for name in DATATYPES}


class OpenInferenceService(RepositoryService):
    """The methods of ``inference.GRPCInferenceService``; the two that infer need no coroutine."""

    def __init__(self, engine: Engine, limits: Limits, control: ControlLine) -> None:
        self.model_infer = ModelInferMethod(engine, limits)
        self.model_stream_infer = DirectStream(
            self.model_infer, stream_window(engine), encode_stream_response, encode_stream_failure
        )
        super().__init__(engine, control)

    async def server_live(self, request: pb.ServerLiveRequest, context: Any) -> pb.ServerLiveResponse:
        """A gateway that answers is live."""
        return pb.ServerLiveResponse(live=True)

    async def server_ready(self, request: pb.ServerReadyRequest, context: Any) -> pb.ServerReadyResponse:
        """Whether every variant with traffic would answer now."""
        return pb.ServerReadyResponse(ready=self._engine.routable and not self._engine.draining)

    async def model_ready(self, request: pb.ModelReadyRequest, context: Any) -> pb.ModelReadyResponse:
        """Whether a request to this model would be answered now."""
        served, variant = resolve(self._engine, request.name, request.version)
        return pb.ModelReadyResponse(ready=is_ready(self._engine, served, variant) and not self._engine.draining)

    async def server_metadata(self, request: pb.ServerMetadataRequest, context: Any) -> pb.ServerMetadataResponse:
        """Name, version and extensions of the server."""
        return pb.ServerMetadataResponse(name=SERVER, version=package_version("twinserve"), extensions=EXTENSIONS)

    async def model_metadata(self, request: pb.ModelMetadataRequest, context: Any) -> pb.ModelMetadataResponse:
        """Inputs and outputs of a model."""
        served, variant = resolve(self._engine, request.name, request.version)
        version = served.version
        tensor = pb.ModelMetadataResponse.TensorMetadata
        return pb.ModelMetadataResponse(
            name=request.name,
            versions=list(self._engine.loaded[version.model]),
            platform=platform_of(_variants(served, variant)).name,
            # The protocol has one datatype per input: the manifest's first. The others are accepted as well.
            inputs=[tensor(name=spec.name, datatype=spec.datatype, shape=[-1, *spec.shape]) for spec in version.inputs],
            outputs=[
                tensor(name=spec.name, datatype=spec.datatype, shape=[-1, *spec.shape]) for spec in outputs_of(version)
            ],
            properties={
                "datatypes": ",".join(version.datatypes or [spec.datatype for spec in version.inputs]),
                "variants": ",".join([variant] if variant else sorted(served.channels)),
            },
        )

    async def model_config(self, request: pb.ModelConfigRequest, context: Any) -> pb.ModelConfigResponse:
        """Batching and instances of a model, in the form that Triton's clients read."""
        served, variant = resolve(self._engine, request.name, request.version)
        version = served.version
        channels = (
            [served.channels[variant]] if variant else [served.channels[name] for name in sorted(served.channels)]
        )
        policies = [channel.queue.policy for channel in channels]
        platform = platform_of(_variants(served, variant))
        config = pb.ModelConfig(
            name=request.name,
            platform=platform.name,
            backend=platform.backend,
            max_batch_size=min(policy.max_batch_size for policy in policies),
            input=[
                pb.ModelInput(name=spec.name, data_type=_CONFIG_TYPES[spec.datatype], dims=spec.shape)
                for spec in version.inputs
            ],
            output=[
                pb.ModelOutput(name=spec.name, data_type=_CONFIG_TYPES[spec.datatype], dims=spec.shape)
                for spec in outputs_of(version)
            ],
            instance_group=[
                pb.ModelInstanceGroup(
                    name=channel.name, count=max(1, len(channel.links)), kind=pb.ModelInstanceGroup.KIND_CPU
                )
                for channel in channels
            ],
        )
        if all(policy.enabled for policy in policies):
            config.dynamic_batching.preferred_batch_size.extend(policies[0].preferred_batch_sizes)
            config.dynamic_batching.max_queue_delay_microseconds = policies[0].max_queue_delay_ns // 1000
        return pb.ModelConfigResponse(config=config)

    async def model_statistics(self, request: pb.ModelStatisticsRequest, context: Any) -> pb.ModelStatisticsResponse:
        """Counts and times over all processes: of one model, or of every name that a request may use."""
        if request.name:
            wanted = [(request.name, *resolve(self._engine, request.name, request.version))]
        else:
            wanted = list(addressable(self._engine))
        counted = (await call_supervisor(self._control, GetStatistics(), Statistics)).variants
        return pb.ModelStatisticsResponse(
            model_stats=[model_statistics(name, served, variant, counted) for name, served, variant in wanted]
        )


def _variants(served: ServedModel, variant: str) -> list[Variant]:
    """What a name means: one variant, or all that are served."""
    return [served.version.variants[name] for name in ([variant] if variant else served.channels)]
