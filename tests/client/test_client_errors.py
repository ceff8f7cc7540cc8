"""The tree of exceptions and its table."""

from __future__ import annotations

import re
from typing import Any

import grpc
import pytest

from twinserve_client import errors
from twinserve_client._status import error_of_code, error_of_rpc
from twinserve_client.errors import ERROR_OF_STATUS, CallError, TwinserveError


def documented() -> dict[str, str]:
    """The rows of the table in the docstring."""
    assert errors.__doc__ is not None
    return dict(re.findall(r"^([A-Z_]+) +(\w+Error) ", errors.__doc__, re.MULTILINE))


def test_the_docstring_says_what_the_program_does() -> None:
    assert documented() == {code.name: kind.__name__ for code, kind in ERROR_OF_STATUS.items()}


def test_every_failing_status_has_its_exception() -> None:
    assert set(ERROR_OF_STATUS) == set(grpc.StatusCode) - {grpc.StatusCode.OK}


@pytest.mark.parametrize("code", list(ERROR_OF_STATUS), ids=lambda code: code.name)
def test_the_error_of_a_stream_is_the_error_of_a_call(code: grpc.StatusCode) -> None:
    error = error_of_code(code.value[0], "told so", "r1")
    assert type(error) is ERROR_OF_STATUS[code]
    assert (error.code, error.message, error.request_id) == (code, "told so", "r1")


def test_a_code_that_nobody_knows_is_an_internal_error() -> None:
    assert type(error_of_code(99, "?")) is errors.InternalError


def test_every_exception_of_a_status_says_what_failed() -> None:
    for kind in ERROR_OF_STATUS.values():
        assert issubclass(kind, CallError)
        assert issubclass(kind, TwinserveError)
        assert str(kind("told so")) == "told so"


class Contradiction(grpc.RpcError):
    """A call whose rich status is about another code than the call."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.INTERNAL

    def details(self) -> str:
        return "plain"

    def trailing_metadata(self) -> Any:
        return (("grpc-status-details-bin", b"\x08\x03\x12\x05other"),)


def test_details_that_contradict_the_status_are_ignored() -> None:
    error = error_of_rpc(Contradiction())
    assert type(error) is errors.InternalError
    assert (error.message, error.violations) == ("plain", ())
