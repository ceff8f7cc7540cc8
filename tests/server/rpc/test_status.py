"""One table maps every error of the core to a status, with details a client can act on."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import quote

import grpc
import pytest
from google.rpc import error_details_pb2

from twinserve_server import errors
from twinserve_server.rpc.status import STATUS, outcome_of, rich_status, status_of

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.TwinserveError) and kind is not errors.TwinserveError
]


def detail(status: object, kind: type) -> object:
    for packed in status.details:  # type: ignore[attr-defined]
        found = kind()
        if packed.Unpack(found):
            return found
    raise AssertionError(f"no {kind.__name__}")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not errors.ArtefactError])
def test_every_error_that_a_request_can_meet_is_in_the_table(kind: type[errors.TwinserveError]) -> None:
    assert kind in STATUS
    assert status_of(kind("x")) is not grpc.StatusCode.UNKNOWN


def test_a_wrong_field_is_told_as_bad_request() -> None:
    status = rich_status(errors.InvalidInputError.of("input.shape", "is [3]"))
    found = detail(status, error_details_pb2.BadRequest)
    assert [(item.field, item.description) for item in found.field_violations] == [("input.shape", "is [3]")]  # type: ignore[attr-defined]
    assert detail(status, error_details_pb2.ErrorInfo).reason == "INVALID_INPUT"  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [errors.QueueFullError, errors.ModelUnavailableError, errors.DrainingError])
def test_what_may_be_tried_again_says_when(kind: type[errors.TwinserveError]) -> None:
    found = detail(rich_status(kind("busy")), error_details_pb2.RetryInfo)
    assert 0 < found.retry_delay.ToNanoseconds() < 2e9  # type: ignore[attr-defined]


def test_what_is_refused_for_overload_tells_grpcs_own_retries_when_to_come_again() -> None:
    error = errors.QueueFullError("busy")
    error.retry_after = 0.25
    code, _, metadata = outcome_of(error)
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(metadata)["grpc-retry-pushback-ms"] == "250"
    found = detail(rich_status(error), error_details_pb2.RetryInfo)
    assert found.retry_delay.ToMilliseconds() == 250  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["x" * 100_000, "ü" * 100_000, "🐜" * 100_000])
def test_no_text_is_too_long_for_the_metadata_it_travels_in(text: str) -> None:
    """A client takes 8 KiB for certain: the message percent-encoded, the details in base64."""
    violations = [errors.FieldViolation(text, text)] * 100
    code, message, metadata = outcome_of(errors.InvalidInputError(f"begin {text} end", *violations), "x" * 128)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith("begin ")
    assert message.endswith(" end")
    details = dict(metadata)["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    assert len(quote(message)) + len(b64encode(details)) < 8 << 10


def test_what_is_short_enough_is_told_unchanged() -> None:
    assert outcome_of(errors.InvalidInputError.of("field", "ü" * 500))[1] == "field: " + "ü" * 500
