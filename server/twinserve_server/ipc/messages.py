"""All messages between the supervisor and the processes it started. Each end dispatches on the type."""

from __future__ import annotations

from typing import Final

import msgspec

from twinserve_server.engine.feedback import Judgement
from twinserve_server.engine.router import ShadowPolicy, TrafficPolicy
from twinserve_server.errors import FieldViolation
from twinserve_server.ipc.load_facts import Cost, LoadFacts
from twinserve_server.ipc.model_setup import ModelSetup

#: The heartbeat interval of every process, and how often the supervisor checks.
ALIVE_SECONDS: Final = 0.5


class Message(msgspec.Struct, frozen=True, tag=True):
    """A notification, a question or an answer."""


# From any process to the supervisor.


class Alive(Message, frozen=True):
    """A heartbeat, sent every ``ALIVE_SECONDS``.

    Attributes:
        busy_seconds: how long the current forward pass has been running; 0 if there is none.
    """

    busy_seconds: float = 0.0


class Failed(Message, frozen=True):
    """The process cannot start, and trying again will not help; it ends."""

    message: str


# From a model process to the supervisor.


class WarmingUp(Message, frozen=True):
    """Progress of the warm-up: how many of the batch sizes have run."""

    done: int
    sizes: int


class Ready(Message, frozen=True):
    """The artefact is loaded and warm.

    Attributes:
        cost: of a forward pass; None: the plan does not depend on it.
    """

    facts: LoadFacts
    cost: Cost | None = None


# From a gateway to the supervisor.


class Serving(Message, frozen=True):
    """The gateway has everything it needs and answers requests."""

    transport: str


class SetTraffic(Message, frozen=True):
    """Asks to change a policy everywhere; answered by :class:`Done`."""

    model: str
    weights: dict[str, float]
    shadows: tuple[ShadowPolicy, ...]
    #: Refuse if the policy in force has another generation; None accepts any.
    if_generation: int | None


class ListVersions(Message, frozen=True):
    """Asks which versions there are, on disk and loaded; answered by :class:`Versions`."""


class LoadVersion(Message, frozen=True):
    """Asks to load a version alongside the others; answered by :class:`Versions` once it is warm."""

    model: str
    #: Empty for the highest on disk.
    version: str


class ActivateVersion(Message, frozen=True):
    """Asks to route requests that name no version to this one, loading it first if necessary; answered by
    :class:`Versions`."""

    model: str
    #: Empty for the highest on disk.
    version: str
    #: Whether the previously active version stays loaded.
    keep_previous: bool
    #: Refuse if another version is active; None accepts any.
    if_active: str | None


class UnloadVersion(Message, frozen=True):
    """Asks to unload a version; answered by :class:`Versions` once its processes have ended."""

    model: str
    #: Empty: all of them, and so the model.
    version: str


class GetStatus(Message, frozen=True):
    """Asks how every process fares; answered by :class:`Status`."""


class GetStatistics(Message, frozen=True):
    """Asks what every variant has done, over all processes; answered by :class:`Statistics`."""


# From the supervisor to a gateway.


class Drain(Message, frozen=True):
    """Take no more requests, answer those accepted, and end."""

    grace_seconds: float


class SetPolicy(Message, frozen=True):
    """The policy of a model from now on."""

    model: str
    policy: TrafficPolicy


class SetModel(Message, frozen=True):
    """What is served of a model from now on; answered by :class:`Done` once what is new can answer and what is gone has
    answered all that it took."""

    setup: ModelSetup


class KeepMetrics(Message, frozen=True):
    """The versions (model, version) whose metrics stay; those of all others go."""

    versions: list[tuple[str, str]]


# In both directions: one gateway asks, the supervisor asks the others.


class Judge(Message, frozen=True):
    """Asks for the judgement of an answer by its labels; answered by :class:`Judged`."""

    request_id: str
    labels: list[int]


# From a gateway to the supervisor.


class Claim(Message, frozen=True):
    """Asks to count a signed answer's labels; answered by :class:`Done`, or refused when they were counted already."""

    key: str


# Answers.


class Done(Message, frozen=True):
    """It is done."""


class Judged(Message, frozen=True):
    """What came of the labels; None: nobody remembers such a request."""

    judgement: Judgement | None


class ProcessStatus(msgspec.Struct, frozen=True):
    """One process, as ``AdminService.GetStatus`` reports it."""

    name: str
    role: str
    pid: int
    ready: bool
    restarts: int
    variant: str
    pss_bytes: int
    cpu_seconds: float
    model: str
    version: str


class Status(Message, frozen=True):
    """The server as a whole."""

    version: str
    uptime_seconds: float
    processes: list[ProcessStatus]


class Total(msgspec.Struct, frozen=True):
    """So many, and the nanoseconds that all of them took together."""

    count: int
    ns: int


class BatchStatistics(msgspec.Struct, frozen=True):
    """The forward passes over one number of images."""

    batches: int
    preprocess_ns: int
    inference_ns: int
    postprocess_ns: int


class VariantStatistics(msgspec.Struct, frozen=True):
    """What one variant has done since the start of the server.

    Attributes:
        last_inference_ms: Unix time of the last forward pass, in milliseconds; 0: there was none.
        images: answered.
        batches: forward passes.
        success: answered requests, shadow runs included.
        fail: requests that ended without an answer once the variant was chosen.
        queue: of answered requests; so are ``preprocess``, ``inference`` and ``postprocess``.
        by_size: forward passes by their number of images.
    """

    model: str
    version: str
    variant: str
    last_inference_ms: int
    images: int
    batches: int
    success: Total
    fail: Total
    queue: Total
    preprocess: Total
    inference: Total
    postprocess: Total
    by_size: dict[int, BatchStatistics]


class Statistics(Message, frozen=True):
    """What every variant has done."""

    variants: list[VariantStatistics]


class VersionStatus(msgspec.Struct, frozen=True):
    """One version of a model.

    Attributes:
        state: ``available``, ``loading``, ``loaded``, ``unloading`` or ``broken``.
        reason: why it is broken, or could not be loaded the last time.
    """

    version: str
    state: str
    reason: str
    variants: list[str]


class ModelVersions(msgspec.Struct, frozen=True):
    """The versions of one model, the greatest first; ``active`` and ``previous`` may be empty."""

    model: str
    active: str
    previous: str
    versions: list[VersionStatus]


class Versions(Message, frozen=True):
    """Every model's versions."""

    models: list[ModelVersions]


class Refused(Message, frozen=True):
    """It is not done, and why: a ``TwinserveError`` on its way to whoever asked."""

    kind: str
    message: str
    violations: tuple[FieldViolation, ...]


FromModel = Alive | Failed | WarmingUp | Ready
FromGateway = (
    Alive
    | Failed
    | Serving
    | SetTraffic
    | ListVersions
    | LoadVersion
    | ActivateVersion
    | UnloadVersion
    | GetStatus
    | GetStatistics
    | Judge
    | Claim
)
ToGateway = Drain | SetPolicy | SetModel | KeepMetrics | Judge
Answer = Done | Judged | Status | Statistics | Versions | Refused
