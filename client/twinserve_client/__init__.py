"""The client of twinserve: one model and its quantised twin behind one gRPC service.

    import numpy as np
    from twinserve_client import Client

    digits = np.zeros((2, 28, 28), np.uint8)  # N x 28 x 28, or one image of 28 x 28

    with Client("127.0.0.1:8500") as client:
        client.wait_until_ready()
        prediction = client.predict(digits, variant="int8")
        print(prediction.labels, prediction.probabilities.max(axis=1), prediction.timing.inference)
        for name, answer in client.compare(digits).items():
            print(name, answer.labels)

``AsyncClient`` has the same methods for asyncio. Every failure is a :class:`TwinserveError`; the table from gRPC status
to exception is in :mod:`twinserve_client.errors`. Needs numpy, grpcio and protobuf only.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from twinserve_client._environment import version as _version

if TYPE_CHECKING:
    from twinserve_client._channel import TLS
    from twinserve_client._retry import RetryPolicy
    from twinserve_client.async_client import AsyncClient
    from twinserve_client.client import Client
    from twinserve_client.errors import (
        AlreadyExistsError,
        CallCancelledError,
        CallError,
        ClientClosedError,
        ConfigurationError,
        ConflictError,
        DeadlineExceededError,
        FieldViolation,
        InternalError,
        InvalidInputError,
        LabelsUnknownError,
        NotFoundError,
        OverloadedError,
        PartlyAppliedError,
        PermissionDeniedError,
        TwinserveError,
        UnauthenticatedError,
        UnavailableError,
        UnimplementedError,
    )
    from twinserve_client.types import (
        Feedback,
        ModelInfo,
        ModelVersions,
        Prediction,
        ProcessStatus,
        ServerStatus,
        TensorInfo,
        Timing,
        Traffic,
        VariantInfo,
        VersionInfo,
    )

__version__ = _version()

__all__ = [
    "TLS",
    "AlreadyExistsError",
    "AsyncClient",
    "CallCancelledError",
    "CallError",
    "Client",
    "ClientClosedError",
    "ConfigurationError",
    "ConflictError",
    "DeadlineExceededError",
    "Feedback",
    "FieldViolation",
    "InternalError",
    "InvalidInputError",
    "LabelsUnknownError",
    "ModelInfo",
    "ModelVersions",
    "NotFoundError",
    "OverloadedError",
    "PartlyAppliedError",
    "PermissionDeniedError",
    "Prediction",
    "ProcessStatus",
    "RetryPolicy",
    "ServerStatus",
    "TensorInfo",
    "Timing",
    "Traffic",
    "TwinserveError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "VariantInfo",
    "VersionInfo",
    "__version__",
]

#: Where these names live, the lightest first.
_MODULES = ("errors", "types", "_retry", "_channel", "client", "async_client")

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load a name when it is first asked for: numpy and gRPC take 25 MiB, and not every command needs them."""
        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        if name in __all__:
            for module in map(import_module, (f"{__name__}.{module}" for module in _MODULES)):
                if hasattr(module, name):
                    globals()[name] = getattr(module, name)
                    return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted(__all__)
