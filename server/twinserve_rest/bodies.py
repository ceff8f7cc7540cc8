"""What comes in a request: read by hand, since clients name no content type, and binary tensors may follow the JSON."""

from __future__ import annotations

import json
from typing import Any, Final, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from twinserve_rest.errors import RequestError
from twinserve_rest.messages import InferenceRequest

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
#: The path of a schema in the OpenAPI document.
REF: Final = "#/components/schemas/{model}"

Asked = TypeVar("Asked", bound=BaseModel)


def documented(model: type[BaseModel], *, required: bool = False) -> dict[str, Any]:
    """What the OpenAPI document says of a body that is read by hand."""
    schema = {"$ref": REF.format(model=model.__name__)}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


async def read_body(request: Request, limit: int) -> bytes:
    """The body of a request.

    Raises:
        RequestError: it holds more than ``limit`` bytes.
    """
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise RequestError(f"the body holds more than {limit} bytes", 413)
        chunks.append(chunk)
    return b"".join(chunks)


def read_request(body: bytes, header_length: str | None) -> tuple[InferenceRequest, bytes]:
    """The JSON of an inference request, checked, and what follows it.

    Raises:
        RequestError: names what is wrong.
    """
    end = len(body)
    if header_length is not None:
        if not (header_length.isascii() and header_length.isdigit() and len(header_length) < 20):
            raise RequestError(f"{HEADER_LENGTH}: {header_length[:40]!r} is not a number of bytes")
        end = int(header_length)
        if end > len(body):
            raise RequestError(f"{HEADER_LENGTH}: is {end}, but the body holds {len(body)} bytes")
    return parse(body[:end], InferenceRequest, f"; binary tensors need the header {HEADER_LENGTH}"), body[end:]


def parse(text: bytes, model: type[Asked], advice: str = "") -> Asked:
    """JSON, checked.

    Raises:
        RequestError: names what is wrong.
    """
    try:
        return model.model_validate(json.loads(text))
    except ValidationError as error:
        raise RequestError(first_problem(error.errors())) from None
    except (ValueError, RecursionError):
        raise RequestError(f"the body is not JSON{advice}") from None


def first_problem(problems: Any) -> str:
    """The first of pydantic's complaints, with the field."""
    problem = problems[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])
