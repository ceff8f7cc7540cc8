"""What the SDK returns: plain, frozen, typed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from twinserve_client.errors import LabelsUnknownError, NotFoundError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    #: What a request may hold: an array (torch tensors, too), a picture (a path or a PIL image), or a list of pictures.
    #: or a mapping of named tensors, for a model that takes several.
    ImageInput = (
        Mapping[str, npt.ArrayLike] | npt.ArrayLike | os.PathLike[str] | Picture | Sequence[os.PathLike[str] | Picture]
    )
else:
    ImageInput = Any

#: Why a variant answered: the request named it, or the router drew it by weight.
Route = Literal["named", "split", "unspecified"]

#: One manifest: model, version, digest of its text (empty: the server does not tell).
ManifestKey = tuple[str, str, bytes]
#: Class names by manifest, as far as one client knows them.
ClassNames = dict[ManifestKey, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the server's time went, in seconds.

    Attributes:
        queue: waiting for a batch to start.
        transfer: moving the batch to the model process and back.
        preprocess: making the batch ready for the forward pass.
        inference: the forward pass of the batch this request was in.
        postprocess: from the forward pass to packed answers.
        total: from the decoded request to the encoded answer.
        batch_size: images in the batch that the forward pass ran on.
    """

    queue: float
    transfer: float
    preprocess: float
    inference: float
    postprocess: float
    total: float
    batch_size: int


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The answer to one request of N images.

    Attributes:
        classes: int64, shape (N,): the most probable class of each image.
        probabilities: float32, shape (N, classes), each row sums to 1. Read-only: it is the received buffer.
        model, version, variant, sha256: the artefact that answered.
        timing: the server's time split.
        request_id: names the request in the server's logs and in ``send_feedback``.
        route: why this variant answered.
        outputs: of a model that is no classifier: its tensors by name, N along the first axis. Read-only. ``classes``
            and ``probabilities`` are empty then.
    """

    classes: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]
    model: str
    version: str
    variant: str
    sha256: str
    timing: Timing
    request_id: str
    route: Route
    #: Shared by all predictions of a client, which fills it.
    _names: ClassNames = field(default_factory=dict, repr=False)
    _manifest: bytes = field(default=b"", repr=False)
    outputs: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of images, or of items."""
        return len(next(iter(self.outputs.values()), self.classes))

    @property
    def labels(self) -> list[str]:
        """The class name of each image.

        Raises:
            LabelsUnknownError: the server did not describe this model version; ``classes`` has the numbers.
        """
        names = self._names.get(self.manifest_key, ())
        if len(names) < self.probabilities.shape[1]:
            raise LabelsUnknownError(
                f"labels: the server did not name the {self.probabilities.shape[1]} classes of "
                f"{self.model} version {self.version}; "
                "use .classes, or call describe_model() to see why"
            )
        return [names[index] for index in self.classes]

    @property
    def manifest_key(self) -> ManifestKey:
        """The manifest that this answer follows; another one may name the classes differently."""
        return self.model, self.version, self._manifest

    @property
    def label(self) -> str:
        """The class name of the only image.

        Raises:
            ValueError: the prediction is not of exactly one image.
            LabelsUnknownError: as for ``labels``.
        """
        if len(self.classes) != 1:
            raise ValueError(f"label: the prediction is of {len(self.classes)} images; use .labels")
        return self.labels[0]


@dataclass(frozen=True, slots=True)
class VariantInfo:
    """One artefact that the server holds.

    Attributes:
        weight: its share of the requests that name no variant, 0..1.
        max_batch_size: the most images that one forward pass takes.
    """

    name: str
    sha256: str
    artefact_bytes: int
    ready: bool
    weight: float
    max_batch_size: int


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor that a model takes or returns: ``shape`` is an item's, -1 being any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the server says about a model: all of it stands in the model's manifest.

    Attributes:
        item_shape: of one image, without the batch dimension.
        datatypes: what the model takes, the preferred first: "UINT8", "FP32".
        labels: the name of each class.
        max_request_images: the most images that one request may carry.
        models: every model that the server holds.
        manifest_json: the manifest as it lies beside the artefacts.
        inputs, outputs: the named tensors of the model, in its order. ``item_shape`` and ``datatypes`` are empty for a
            model that takes several, or others than pixels.
    """

    model: str
    version: str
    item_shape: tuple[int, ...]
    datatypes: tuple[str, ...]
    labels: tuple[str, ...]
    max_request_images: int
    variants: tuple[VariantInfo, ...]
    models: tuple[str, ...]
    manifest_json: str = field(repr=False)
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()

    @property
    def ready(self) -> bool:
        """Every variant is loaded and warm."""
        return all(variant.ready for variant in self.variants)

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest, decoded anew at each access."""
        decoded: dict[str, Any] = json.loads(self.manifest_json)
        return decoded

    @property
    def first_input(self) -> dict[str, Any]:
        """What the manifest, of version 1 or 2, says of the first or only input; empty: nothing."""
        manifest: Any = self.manifest if self.manifest_json else {}
        try:
            found = manifest["inputs"][0] if "inputs" in manifest else manifest["input"]
        except (KeyError, TypeError, IndexError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The least and the greatest value of an FP32 input; None: the manifest does not say."""
        try:
            low, high = self.first_input["ranges"]["FP32"]
            return float(low), float(high)
        except (KeyError, TypeError, ValueError):
            return None

    def variant(self, name: str) -> VariantInfo:
        """The variant of that name.

        Raises:
            NotFoundError: the model has none of that name.
        """
        for variant in self.variants:
            if variant.name == name:
                return variant
        served = ", ".join(variant.name for variant in self.variants)
        raise NotFoundError(f"variant: {name!r} is not served here; served are: {served}")


@dataclass(frozen=True, slots=True)
class Feedback:
    """How many images of an earlier request its variant had right."""

    variant: str
    correct: int
    total: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """How a model's requests that name no variant are shared.

    Attributes:
        weights: relative weight by variant; they need not sum to 1.
        shadows: the share (0..1) of requests that also run on a variant after their answer.
        generation: counts the changes since the server started; of several servers, the highest.
        generations: each server's own, by address, where the client has several.
    """

    model: str
    weights: Mapping[str, float]
    shadows: Mapping[str, float]
    generation: int
    generations: Mapping[str, int] = field(default_factory=dict)


#: How a version fares; only one that is loaded answers requests.
VersionState = Literal["available", "loading", "loaded", "unloading", "broken", "unspecified"]


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """One version of a model.

    Attributes:
        state: "available" (on disk), "loading", "loaded", "unloading", or "broken".
        reason: why it is broken.
        variants: those that are loaded.
    """

    version: str
    state: VersionState
    reason: str
    variants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelVersions:
    """The versions of one model that a server has on disk or loaded.

    Attributes:
        active: answers the requests that name no version; empty: the model is not loaded.
        previous: was active before; empty: none was.
        versions: the greatest first.
    """

    model: str
    active: str
    previous: str
    versions: tuple[VersionInfo, ...]


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process of the server.

    Attributes:
        name: "gateway-0", "int8-0", …
        role: "gateway" or "model".
        variant, model, version: of a model process; empty for a gateway.
        pss_bytes: proportional set size, its honest share of memory.
        cpu_seconds: user and system time since it started.
    """

    name: str
    role: str
    pid: int
    ready: bool
    restarts: int
    variant: str
    pss_bytes: int
    cpu_seconds: float
    model: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """The server as a whole."""

    version: str
    uptime_seconds: float
    processes: tuple[ProcessStatus, ...]
