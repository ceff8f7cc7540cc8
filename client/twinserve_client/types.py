"""The SDK's return types: plain, frozen, typed."""

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

    #: The input of a request: an array (torch tensors, too), a picture (a path or a PIL image), a list of pictures,
    #: or a mapping of named tensors for a model that takes several.
    ImageInput = (
        Mapping[str, npt.ArrayLike] | npt.ArrayLike | os.PathLike[str] | Picture | Sequence[os.PathLike[str] | Picture]
    )
else:
    ImageInput = Any

#: Why a variant answered: the request named it, or the router picked it by weight.
Route = Literal["named", "split", "unspecified"]

#: Identifies a manifest: model, version, digest of its text (empty if the server does not send it).
ManifestKey = tuple[str, str, bytes]
#: Class names by manifest, as far as a client knows them.
ClassNames = dict[ManifestKey, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Timing:
    """How long each stage took on the server, in seconds.

    Attributes:
        queue: waiting for a batch to start.
        transfer: moving the batch to the model process and back.
        preprocess: preparing the batch for the forward pass.
        inference: the forward pass of the batch that contained this request.
        postprocess: from the end of the forward pass to encoded answers.
        total: from the decoded request to the encoded answer.
        batch_size: images in that batch.
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
        timing: how long each stage took on the server.
        request_id: identifies the request in the server's logs and in ``send_feedback``.
        route: why this variant answered.
        outputs: the output tensors by name, N along the first axis, of a model that is not a classifier; read-only.
            ``classes`` and ``probabilities`` are empty in that case.
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
    #: Shared by all predictions of a client, and filled by it.
    _names: ClassNames = field(default_factory=dict, repr=False)
    _manifest: bytes = field(default=b"", repr=False)
    outputs: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        """The number of images or items."""
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
                f"labels: the server does not name the {self.probabilities.shape[1]} classes of "
                f"{self.model} version {self.version}; "
                "use .classes, or call describe_model() to see why"
            )
        return [names[index] for index in self.classes]

    @property
    def manifest_key(self) -> ManifestKey:
        """Identifies the manifest of the model that answered; another one may name the classes differently."""
        return self.model, self.version, self._manifest

    @property
    def label(self) -> str:
        """The class name of the only image.

        Raises:
            ValueError: the prediction is not for exactly one image.
            LabelsUnknownError: as for ``labels``.
        """
        if len(self.classes) != 1:
            raise ValueError(f"label: the prediction is for {len(self.classes)} images; use .labels")
        return self.labels[0]


@dataclass(frozen=True, slots=True)
class VariantInfo:
    """One artefact that the server holds.

    Attributes:
        weight: its share (0..1) of the requests that name no variant.
        max_batch_size: the largest number of images per forward pass.
        platform: what runs it, in the words of the Open Inference Protocol: "pytorch_libtorch" or "onnxruntime_onnx".
    """

    name: str
    sha256: str
    artefact_bytes: int
    ready: bool
    weight: float
    max_batch_size: int
    platform: str = ""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output tensor of a model. ``shape`` is that of one item; -1 means any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The server's description of a model.

    Attributes:
        item_shape: shape of one image, without the batch dimension.
        datatypes: accepted datatypes, preferred first: "UINT8", "FP32".
        labels: the name of each class.
        max_request_images: the largest number of images per request.
        models: every model on the server.
        manifest_json: the manifest file, verbatim.
        inputs, outputs: the model's named tensors, in the model's order. ``item_shape`` and ``datatypes`` are empty for
            a model with several inputs, or with an input other than pixels.
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
        """The manifest; decoded again on each access."""
        decoded: dict[str, Any] = json.loads(self.manifest_json)
        return decoded

    @property
    def first_input(self) -> dict[str, Any]:
        """The manifest's entry (version 1 or 2) for the first or only input; empty if there is none."""
        manifest: Any = self.manifest if self.manifest_json else {}
        try:
            found = manifest["inputs"][0] if "inputs" in manifest else manifest["input"]
        except (KeyError, TypeError, IndexError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The smallest and largest value of an FP32 input; None if the manifest does not say."""
        try:
            low, high = self.first_input["ranges"]["FP32"]
            return float(low), float(high)
        except (KeyError, TypeError, ValueError):
            return None

    def variant(self, name: str) -> VariantInfo:
        """The variant with that name.

        Raises:
            NotFoundError: the model has no such variant.
        """
        for variant in self.variants:
            if variant.name == name:
                return variant
        served = ", ".join(variant.name for variant in self.variants)
        raise NotFoundError(f"variant: {name!r} is not served here; served are: {served}")


@dataclass(frozen=True, slots=True)
class Feedback:
    """How many images of an earlier request its variant classified correctly."""

    variant: str
    correct: int
    total: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """How a model's requests that name no variant are distributed.

    Attributes:
        weights: relative weight by variant; they need not sum to 1.
        shadows: by variant, the share (0..1) of requests that also run on it, after they are answered.
        generation: number of changes since the server started; with several servers, the highest.
        generations: each server's generation by address, if the client has several.
    """

    model: str
    weights: Mapping[str, float]
    shadows: Mapping[str, float]
    generation: int
    generations: Mapping[str, int] = field(default_factory=dict)


#: The state of a version; only a loaded one answers requests.
VersionState = Literal["available", "loading", "loaded", "unloading", "broken", "unspecified"]


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """One version of a model.

    Attributes:
        state: "available" (on disk), "loading", "loaded", "unloading", or "broken".
        reason: why it is broken.
        variants: the loaded variants.
    """

    version: str
    state: VersionState
    reason: str
    variants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelVersions:
    """The versions of one model that a server has on disk or loaded.

    Attributes:
        active: the version that answers requests that name none; empty if the model is not loaded.
        previous: the version that was active before; empty if there was none.
        versions: highest first.
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
        variant, model, version: what a model process runs; empty for a gateway.
        pss_bytes: proportional set size: memory, with shared pages divided among the processes that share them.
        cpu_seconds: user plus system time since the process started.
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
