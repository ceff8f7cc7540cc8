"""The JSON messages of the protocol: requests as validated, answers as documented."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Parameters = dict[str, bool | int | float | str]


class RequestInput(BaseModel):
    """One input tensor."""

    model_config = ConfigDict(strict=True)

    name: str
    shape: list[Annotated[int, Field(ge=0)]] = Field(max_length=16)
    datatype: str
    parameters: dict[str, Any] = {}
    #: Flat in row-major order, or nested; absent if the elements follow in binary.
    data: list[Any] | None = None


class RequestOutput(BaseModel):
    """One output that the answer shall hold."""

    model_config = ConfigDict(strict=True)

    name: str
    parameters: dict[str, Any] = {}


class InferenceRequest(BaseModel):
    """What is to be inferred."""

    model_config = ConfigDict(strict=True)

    id: str = ""
    parameters: dict[str, Any] = {}
    inputs: list[RequestInput] = Field(max_length=64)
    outputs: list[RequestOutput] = Field([], max_length=64)


class ResponseOutput(BaseModel):
    """One output tensor."""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters | None = None
    data: list[Any] | None = None


class InferenceResponse(BaseModel):
    """The answer; ``parameters`` say which variant answered and where the time went, in nanoseconds."""

    model_name: str
    model_version: str
    id: str
    parameters: Parameters
    outputs: list[ResponseOutput]


class Failure(BaseModel):
    """What went wrong."""

    error: str


class ServerMetadata(BaseModel):
    """Name, version and extensions of the server."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """One tensor; -1 in a shape: any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """Versions, inputs and outputs of a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerState(BaseModel):
    """Whether the server lives, or is ready."""

    live: bool | None = None
    ready: bool | None = None


class ModelState(BaseModel):
    """Whether a model is ready."""

    name: str
    ready: bool


class IndexRequest(BaseModel):
    """Which names are wanted: all, or those that would be answered."""

    model_config = ConfigDict(strict=True)

    ready: bool = False


class ChangeRequest(BaseModel):
    """How to load or unload."""

    model_config = ConfigDict(strict=True)

    parameters: dict[str, Any] = {}


class IndexEntry(BaseModel):
    """One name that a request may use."""

    name: str
    version: str
    state: str
    reason: str
