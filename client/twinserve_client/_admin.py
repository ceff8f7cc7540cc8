"""The messages of the admin service, built and decoded."""

from __future__ import annotations

from collections.abc import Mapping

from twinserve.v1 import admin_pb2
from twinserve_client import types


def set_traffic_request(
    model: str, weights: Mapping[str, float], shadows: Mapping[str, float], if_generation: int | None
) -> admin_pb2.SetTrafficRequest:
    """The whole policy; the server checks names and ranges."""
    return admin_pb2.SetTrafficRequest(
        traffic=admin_pb2.Traffic(
            model=model,
            weights=weights,
            shadows=[admin_pb2.Shadow(variant=name, share=share) for name, share in shadows.items()],
        ),
        if_generation=if_generation,
    )


def traffic(response: admin_pb2.GetTrafficResponse | admin_pb2.SetTrafficResponse) -> types.Traffic:
    """The policy in force."""
    policy = response.traffic
    return types.Traffic(
        model=policy.model,
        weights=dict(policy.weights),
        shadows={shadow.variant: shadow.share for shadow in policy.shadows},
        generation=policy.generation,
    )


def status(response: admin_pb2.GetStatusResponse) -> types.ServerStatus:
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
