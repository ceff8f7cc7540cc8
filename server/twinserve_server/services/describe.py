"""What is served, as a ``DescribeModelResponse``: everything a client needs to know is in the manifest."""

from __future__ import annotations

from twinserve.v1 import predict_pb2
from twinserve_server.artefact.manifest import manifest_digest
from twinserve_server.artefact.platforms import PLATFORMS
from twinserve_server.artefact.signature import TensorSpec
from twinserve_server.engine.engine import Engine
from twinserve_server.engine.served import ServedModel
from twinserve_server.services.decode import Limits
from twinserve_server.services.tensors import NUMBERS


def describe_model(engine: Engine, model: str, number: str, limits: Limits) -> predict_pb2.DescribeModelResponse:
    """Describe one version of a model, by ``number``; the active one if that is empty.

    Raises:
        UnknownModelError: it is not served here.
    """
    served = engine.find_version(model, number)
    version = served.version
    return predict_pb2.DescribeModelResponse(
        model=version.model,
        version=version.version,
        item_shape=version.item_shape,
        datatypes=[NUMBERS[datatype] for datatype in version.datatypes],
        labels=version.labels,
        max_request_images=max(1, min(limits.request_images, limits.answer_images(version))),
        variants=[
            predict_pb2.VariantDescription(
                name=name,
                sha256=version.variants[name].sha256,
                artefact_bytes=version.variants[name].bytes,
                ready=channel.ready,
                weight=_share(served, name),
                max_batch_size=channel.queue.policy.max_batch_size,
                platform=PLATFORMS[version.variants[name].format].name,
            )
            for name, channel in sorted(served.channels.items())
        ],
        models=sorted(engine.models),
        manifest_json=version.manifest_json,
        manifest_digest=manifest_digest(version.manifest_json),
        inputs=map(_described, version.inputs),
        outputs=map(_described, version.outputs),
    )


def _share(served: ServedModel, variant: str) -> float:
    """Of the requests that name no variant, under whichever name the policy has it: ``int8`` or ``int8@2``."""
    shares = served.router.policy.shares.items()
    return sum(share for name, share in shares if served.addresses.get(name) == (served, variant))


def _described(spec: TensorSpec) -> predict_pb2.TensorDescription:
    return predict_pb2.TensorDescription(name=spec.name, datatype=NUMBERS[spec.datatype], shape=spec.shape)
