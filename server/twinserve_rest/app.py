"""The routes of the Open Inference Protocol over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version as package_version
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from twinserve_client import AsyncClient, Prediction, TensorInfo, TwinserveError
from twinserve_rest.bodies import HEADER_LENGTH, REF, documented, first_problem, read_body, read_request
from twinserve_rest.errors import RequestError, message_of, status_of
from twinserve_rest.messages import (
    ChangeRequest,
    Failure,
    IndexRequest,
    InferenceRequest,
    InferenceResponse,
    ModelMetadata,
    ModelState,
    ServerMetadata,
    ServerState,
    TensorMetadata,
)
from twinserve_rest.models import Addressed, Models
from twinserve_rest.repository import add_repository
from twinserve_rest.tensors import (
    CLASSES,
    PROBABILITIES,
    accepted,
    input_arrays,
    output_names,
    output_tensors,
    wanted_outputs,
)

#: The largest request; by default the server's own limit.
MAX_BODY_BYTES: Final = 64 << 20
_FAILURES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Failure} for status in (400, 401, 403, 404, 413, 429, 500, 503, 504)
}
#: The body is parsed by hand, because binary tensors may follow the JSON; the document still has its schema.
_INFERENCE_BODY: Final = documented(InferenceRequest, required=True)


def make_app(
    connect: Callable[[str | None], AsyncClient],
    connect_admin: Callable[[str | None], AsyncClient] | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> FastAPI:
    """The application.

    Args:
        connect: makes a client for a model's name; None: the default model.
        connect_admin: the same with a client that may load and unload; None: callers cannot.
        max_body_bytes: the largest request.
    """
    models = Models(connect)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await models.close()

    app = FastAPI(
        title="twinserve: Open Inference Protocol",
        version=package_version("twinserve"),
        lifespan=lifespan,
        responses=_FAILURES,
    )
    app.openapi = _with_request_schemas(app.openapi)  # type: ignore[method-assign]
    _map_errors(app)
    _add_health(app, models)
    _add_models(app, models)
    add_repository(app, models, connect_admin)
    _add_inference(app, models, max_body_bytes)
    return app


def _with_request_schemas(openapi: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    def document() -> dict[str, Any]:
        found = openapi()
        for model in (InferenceRequest, IndexRequest, ChangeRequest):
            schema = model.model_json_schema(ref_template=REF)
            found["components"]["schemas"].update({**schema.pop("$defs", {}), model.__name__: schema})
        return found

    return document


def _map_errors(app: FastAPI) -> None:
    def failure(status: int, message: str) -> JSONResponse:
        return JSONResponse({"error": message}, status)

    @app.exception_handler(TwinserveError)
    async def sdk(_: Request, error: TwinserveError) -> JSONResponse:
        return failure(status_of(error), message_of(error))

    @app.exception_handler(RequestError)
    async def request(_: Request, error: RequestError) -> JSONResponse:
        return failure(error.status, error.message)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        response = failure(error.status_code, str(error.detail))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(RequestValidationError)
    async def validation(_: Request, error: RequestValidationError) -> JSONResponse:
        return failure(400, first_problem(error.errors()))


def _add_health(app: FastAPI, models: Models) -> None:
    @app.get("/v2", summary="Name, version and extensions of the server")
    async def server() -> ServerMetadata:
        return ServerMetadata(
            name="twinserve",
            version=package_version("twinserve"),
            extensions=["binary_tensor_data", "model_repository"],
        )

    @app.get("/v2/health/live", summary="Is this process alive?", response_model_exclude_none=True)
    async def live() -> ServerState:
        return ServerState(live=True)

    @app.get("/v2/health/ready", summary="Would every model with traffic answer?", response_model_exclude_none=True)
    async def ready(response: Response) -> ServerState:
        all_ready = all(one.ready for one in await models.read() if one.variant is None)
        response.status_code = 200 if all_ready else 503
        return ServerState(ready=all_ready)


def _add_models(app: FastAPI, models: Models) -> None:
    @app.get("/v2/models/{name}", summary="Inputs and outputs of a model")
    @app.get("/v2/models/{name}/versions/{version}", summary="Inputs and outputs of a model")
    async def metadata(name: str, version: str = "") -> ModelMetadata:
        found = await models.find(name, version, fresh=True)
        info = found.info
        outputs = _tensors(info.outputs)
        if info.labels:
            outputs = [
                TensorMetadata(name=PROBABILITIES, datatype="FP32", shape=[-1, len(info.labels)]),
                TensorMetadata(name=CLASSES, datatype="UINT32", shape=[-1, 1]),
            ]
        inputs = _tensors(info.inputs)
        if info.datatypes:
            (input_name,) = accepted(info)
            shape = [-1, *info.item_shape]
            inputs = [TensorMetadata(name=input_name, datatype=info.datatypes[0], shape=shape)]
        return ModelMetadata(
            name=name, versions=[info.version], platform=found.platform, inputs=inputs, outputs=outputs
        )

    @app.get("/v2/models/{name}/ready", summary="Would this model answer?")
    @app.get("/v2/models/{name}/versions/{version}/ready", summary="Would this model answer?")
    async def ready(response: Response, name: str, version: str = "") -> ModelState:
        is_ready = (await models.find(name, version, fresh=True)).ready
        response.status_code = 200 if is_ready else 503
        return ModelState(name=name, ready=is_ready)


def _tensors(described: tuple[TensorInfo, ...]) -> list[TensorMetadata]:
    return [TensorMetadata(name=one.name, datatype=one.datatype, shape=[-1, *one.shape]) for one in described]


def _add_inference(app: FastAPI, models: Models, max_body_bytes: int) -> None:
    @app.post("/v2/models/{name}/infer", openapi_extra=_INFERENCE_BODY, response_model=InferenceResponse)
    @app.post(
        "/v2/models/{name}/versions/{version}/infer", openapi_extra=_INFERENCE_BODY, response_model=InferenceResponse
    )
    async def infer(request: Request, name: str, version: str = "") -> Response:
        """Infer; tensors as JSON or, with ``Inference-Header-Content-Length``, in binary after it."""
        body = await read_body(request, max_body_bytes)
        asked, binary = read_request(body, request.headers.get(HEADER_LENGTH))
        addressed = await models.find(name, version)
        wanted = wanted_outputs(asked, output_names(addressed.info))
        arrays = input_arrays(asked, binary, addressed.info)
        named = _text(asked, "variant")
        if named and addressed.variant not in (None, named):
            raise RequestError(f"parameters.variant: is {named!r}, but the model name means {addressed.variant!r}")
        prediction = await models.client(addressed.info.model).predict(
            **({"images": next(iter(arrays.values()))} if addressed.info.datatypes else {"inputs": arrays}),
            variant=addressed.variant or named,
            routing_key=_text(asked, "routing_key"),
            request_id=asked.id or None,
        )
        return _answer(addressed, prediction, wanted)


def _answer(addressed: Addressed, prediction: Prediction, wanted: list[tuple[str, bool]]) -> Response:
    outputs, tail = output_tensors(prediction, wanted)
    timing = prediction.timing
    times = ("queue", "transfer", "preprocess", "inference", "postprocess", "total")
    response = InferenceResponse(
        model_name=addressed.name,
        model_version=prediction.version,
        id=prediction.request_id,
        parameters={
            "variant": prediction.variant,
            "route": prediction.route,
            "sha256": prediction.sha256,
            **{f"{stage}_ns": round(getattr(timing, stage) * 1e9) for stage in times},
            "batch_size": timing.batch_size,
        },
        outputs=outputs,
    )
    header = response.model_dump_json(exclude_none=True).encode()
    if not tail:
        return Response(header, media_type="application/json")
    return Response(header + tail, media_type="application/octet-stream", headers={HEADER_LENGTH: str(len(header))})


def _text(request: InferenceRequest, name: str) -> str | None:
    value = request.parameters.get(name)
    if value is not None and not isinstance(value, str):
        raise RequestError(f"parameters.{name}: must be a string")
    return value or None
