"""Retries: what is tried again, how often, and what never is."""

from __future__ import annotations

import json
import time
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest

from support.client_face import Face
from support.digit_server import Fault, Server
from twinserve_client import (
    CallError,
    ConfigurationError,
    DeadlineExceededError,
    InternalError,
    OverloadedError,
    RetryPolicy,
    UnavailableError,
)
from twinserve_client._retry import retry_policy, service_config

Images = npt.NDArray[np.uint8]

#: As the default, but quick.
QUICK = RetryPolicy(initial_backoff=0.01, max_backoff=0.01)
GONE = Fault(grpc.StatusCode.UNAVAILABLE, "the model process died")


@pytest.fixture
def patient(face: Face, server: Server) -> Any:
    """A client that retries quickly."""
    return face.open(server.target, retries=QUICK)


def test_three_failures_are_survived(face: Face, patient: Any, server: Server, digits: Images) -> None:
    server.behaviour.faults.extend([GONE] * 3)
    assert face.run(patient.predict(digits)).classes.tolist() == [0, 1, 2, 3, 4]
    assert server.behaviour.calls[:4] == ["Predict"] * 4


def test_a_cancellation_that_nobody_asked_for_is_a_server_that_goes_away(
    face: Face, patient: Any, server: Server, digits: Images
) -> None:
    """So gRPC ends what reaches a server at the moment it stops."""
    cut_off = Fault(grpc.StatusCode.CANCELLED, "")
    server.behaviour.faults.extend([cut_off] * 3)
    assert face.run(patient.predict(digits)).classes.tolist() == [0, 1, 2, 3, 4]
    server.behaviour.faults.extend([cut_off] * 4)
    with pytest.raises(UnavailableError, match="ended the call without an answer") as caught:
        face.run(patient.predict(digits))
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_the_fourth_failure_is_told(face: Face, patient: Any, server: Server, digits: Images) -> None:
    server.behaviour.faults.extend([GONE] * 9)
    with pytest.raises(UnavailableError, match="the model process died"):
        face.run(patient.predict(digits))
    assert server.behaviour.calls == ["Predict"] * 4


@pytest.mark.parametrize("retries", [0, None])
def test_retries_can_be_turned_off(face: Face, server: Server, digits: Images, retries: int | None) -> None:
    server.behaviour.faults.append(GONE)
    with pytest.raises(UnavailableError):
        face.run(face.open(server.target, retries=retries).predict(digits))
    assert server.behaviour.calls == ["Predict"]


def test_comparing_and_describing_are_retried(face: Face, patient: Any, server: Server, digits: Images) -> None:
    server.behaviour.faults.append(GONE)
    assert len(face.run(patient.compare(digits))) == 2
    server.behaviour.describe_faults.append(GONE)
    assert face.run(patient.describe_model()).model == "digits"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(grpc.StatusCode.INTERNAL), InternalError),
        (Fault(grpc.StatusCode.RESOURCE_EXHAUSTED), OverloadedError),
    ],
    ids=["internal", "overloaded"],
)
def test_other_failures_are_not_retried(
    face: Face, patient: Any, server: Server, digits: Images, fault: Fault, expected: type[CallError]
) -> None:
    server.behaviour.faults.append(fault)
    with pytest.raises(expected):
        face.run(patient.predict(digits))
    assert server.behaviour.calls == ["Predict"]


BUSY = Fault(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", retry_after=0.01)


def test_refusals_are_retried_for_those_who_ask_for_it(face: Face, server: Server, digits: Images) -> None:
    """As often as it takes, not only as often as gRPC would."""
    server.behaviour.faults.extend([BUSY] * 9)
    client = face.open(server.target, retry_exhausted=True)
    assert face.run(client.predict(digits)).classes.tolist() == [0, 1, 2, 3, 4]
    assert server.behaviour.calls[:10] == ["Predict"] * 10


def test_a_refused_call_does_not_come_back_sooner_than_told(face: Face, server: Server, digits: Images) -> None:
    told = Fault(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", retry_after=0.3)
    server.behaviour.faults.append(told)
    client = face.open(server.target, retry_exhausted=True)
    started = time.monotonic()
    face.run(client.predict(digits))
    assert time.monotonic() - started >= 0.3


def test_push_back_counts_where_a_server_sends_no_retry_info(face: Face, server: Server, digits: Images) -> None:
    pushed = Fault(grpc.StatusCode.RESOURCE_EXHAUSTED, metadata=(("grpc-retry-pushback-ms", "20"),))
    server.behaviour.faults.append(pushed)
    face.run(face.open(server.target, retry_exhausted=True).predict(digits))
    assert server.behaviour.calls[:2] == ["Predict"] * 2


@pytest.mark.parametrize(
    "final",
    [
        Fault(grpc.StatusCode.RESOURCE_EXHAUSTED, "the message is too large"),
        Fault(grpc.StatusCode.RESOURCE_EXHAUSTED, metadata=(("grpc-retry-pushback-ms", "-1"),)),
        Fault(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy for an hour", retry_after=3600),
    ],
    ids=["says no time", "says not to retry", "later than the deadline"],
)
def test_refusals_that_cannot_be_met_in_time_are_told_at_once(
    face: Face, server: Server, digits: Images, final: Fault
) -> None:
    server.behaviour.faults.append(final)
    with pytest.raises(OverloadedError):
        face.run(face.open(server.target, retry_exhausted=True).predict(digits, timeout=30))
    assert server.behaviour.calls == ["Predict"]


def test_a_refused_change_of_state_is_not_sent_again(face: Face, server: Server) -> None:
    server.behaviour.faults.append(BUSY)
    with pytest.raises(OverloadedError):
        face.run(face.open(server.target, retry_exhausted=True).set_traffic({"int8": 1.0}))
    assert server.behaviour.calls == ["SetTraffic"]


def test_what_changes_state_is_not_retried(face: Face, patient: Any, server: Server) -> None:
    server.behaviour.faults.extend([GONE, GONE])
    with pytest.raises(UnavailableError):
        face.run(patient.send_feedback("any", [1]))
    with pytest.raises(UnavailableError):
        face.run(patient.set_traffic({"int8": 1.0}))
    assert server.behaviour.calls == ["SendFeedback", "SetTraffic"]


def test_the_deadline_covers_the_retries(face: Face, server: Server, digits: Images) -> None:
    server.behaviour.faults.extend([GONE] * 9)
    slow = RetryPolicy(initial_backoff=60, max_backoff=60)
    with pytest.raises(DeadlineExceededError):
        face.run(face.open(server.target, retries=slow).predict(digits, timeout=0.2))
    assert server.behaviour.calls == ["Predict"]


def test_an_empty_token_bucket_stops_retries(face: Face, server: Server, digits: Images) -> None:
    server.behaviour.faults.extend([GONE] * 9)
    miser = RetryPolicy(initial_backoff=0.01, max_backoff=0.01, throttle_tokens=2)
    with pytest.raises(UnavailableError):
        face.run(face.open(server.target, retries=miser).predict(digits))
    assert server.behaviour.calls == ["Predict"]


def test_the_service_config_is_what_grpc_reads() -> None:
    config = json.loads(service_config(RetryPolicy()))
    (methods,) = config["methodConfig"]
    assert {"service": "twinserve.v1.PredictService", "method": "Predict"} in methods["name"]
    assert not any(name["method"] in ("SendFeedback", "SetTraffic") for name in methods["name"])
    assert methods["retryPolicy"] == {
        "maxAttempts": 4,
        "initialBackoff": "0.100000000s",
        "maxBackoff": "2.000000000s",
        "backoffMultiplier": 3.0,
        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
    }
    assert config["retryThrottling"] == {"maxTokens": 1000, "tokenRatio": 0.5}


def test_a_number_counts_the_further_attempts() -> None:
    policy = retry_policy(2)
    assert policy is not None
    assert policy.max_attempts == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_attempts", 1),
        ("max_attempts", 6),
        ("initial_backoff", 0.001),
        ("max_backoff", 0.05),
        ("backoff_multiplier", 0.5),
        ("throttle_tokens", 1001),
        ("throttle_ratio", 0),
        ("initial_backoff", float("nan")),
    ],
)
def test_a_policy_that_grpc_would_ignore_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"{field}: {value} is not (a whole number )?within"):
        RetryPolicy(**{field: value})


@pytest.mark.parametrize("retries", [-1, 5])
def test_a_number_of_retries_has_limits(retries: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"retries: {retries} is not a whole number within 0\.\.4"):
        retry_policy(retries)
