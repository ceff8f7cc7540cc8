"""Whatever is passed to a public method, only a TwinserveError leaves it, and it names the argument."""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.client_face import Face
from support.digit_server import SHAPE, Server, digit_server
from support.server_process import wait_until
from twinserve_client import (
    TLS,
    AsyncClient,
    Client,
    ConfigurationError,
    InvalidInputError,
    Prediction,
    RetryPolicy,
    TwinserveError,
)

IMAGE = np.zeros(SHAPE, np.uint8)


class Hostile:
    """Fails whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("no array")

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("no items")

    def __len__(self) -> int:
        raise RuntimeError("no length")


class HostileMapping(Mapping[str, float]):
    def __getitem__(self, key: str) -> float:
        raise RuntimeError("no items")

    def __iter__(self) -> Iterator[str]:
        return iter(["int8"])

    def __len__(self) -> int:
        return 1


#: One of each kind of thing that people pass by mistake.
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 7, 2**31, 2**32, 2**40, 2**64, 10**400, -(2**70),
    0.0, -0.0, 0.5, 5.0, 1e-320, 9e9, 1e308, math.inf, -math.inf, math.nan,
    1j, decimal.Decimal("0.5"), decimal.Decimal("sNaN"), fractions.Fraction(1, 3), dt.timedelta(seconds=5),
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    "", "int8", "5", "\ud800", "a\ud800b", "\x00", "ä", "x" * 5000, b"", b"int8", b"\xff", bytearray(b"x"),
    np.str_("int8"), Path("seven.png"), Path("\x00"),
    [], [1], [-1], [True], [1.5], ["int8"], [None], [[1], [2, 3]], ["int8", 5], ["\ud800"], (), (3,), {1, 2}, {"int8"},
    {}, {"int8": 0.5}, {"int8": "much"}, {"int8": None}, {"int8": math.nan}, {"int8": 10**400}, {5: 0.5}, {None: 1.0},
    {"\ud800": 1.0}, HostileMapping(), range(3), iter([1, 2]), Hostile(), Hostile, object(), len,
    np.uint8(3), np.float32(2.5), np.bool_(True), np.array(3), np.array([1, 2]), np.array([2**40]), np.array([-1]),
    np.array([True]), np.array(["2026-01-01"], "datetime64[D]"), np.array([1, 2], "timedelta64[s]"),
    np.array([object()], object), np.array([1 + 2j]), np.array(["int8"]),
    np.array([(1, 2.0)], [("a", int), ("b", float)]),
    np.ma.masked_array([1, 2], [True, False]), np.ma.masked_array(IMAGE, IMAGE == 0), np.zeros((0, 28, 28), np.uint8),
    np.full(SHAPE, np.nan), np.full(SHAPE, 1e300), np.zeros(SHAPE, np.longdouble), np.zeros(SHAPE, np.float16),
    np.zeros((5, 5), np.uint8), np.matrix([[1, 2]]), np.zeros(SHAPE, ">f4"), memoryview(b"abc"), IMAGE,
]  # fmt: skip

anything = st.one_of(
    st.sampled_from(ODD),
    st.text(max_size=20),
    st.floats(),
    st.integers(),
    st.binary(max_size=20),
    st.lists(st.one_of(st.integers(), st.floats(), st.text(max_size=5), st.none(), st.booleans()), max_size=4),
    st.dictionaries(st.text(max_size=5), st.floats(), max_size=3),
)
#: Each public method, with the names of its arguments; no timeout is long enough to wait for.
METHODS: dict[str, tuple[str, ...]] = {
    "predict": ("images", "variant", "routing_key", "request_id", "timeout"),
    "predict_stream": ("images", "variant", "routing_key", "max_in_flight", "on_error", "timeout"),
    "compare": ("images", "variants", "request_id", "timeout"),
    "send_feedback": ("request_id", "labels", "timeout"),
    "describe_model": ("timeout",),
    "wait_until_ready": ("timeout",),
    "get_traffic": ("timeout",),
    "set_traffic": ("weights", "shadows", "if_generation", "timeout"),
    "get_status": ("timeout",),
    "versions.list": ("timeout",),
    "versions.load": ("version", "timeout"),
    "versions.activate": ("version", "keep_previous", "if_active", "timeout"),
    "versions.unload": ("version", "timeout"),
    "versions.unload_all": ("timeout",),
}
#: What makes a call right, so that one wrong argument at a time is met as well.
GOOD: dict[str, Any] = {"images": IMAGE, "request_id": "r", "labels": [1], "weights": {"int8": 1.0}, "version": "2"}


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    """One server for the module."""
    with digit_server() as running:
        yield running


@pytest.fixture(scope="module", params=["Client", "AsyncClient"])
def shared(request: pytest.FixtureRequest, shared_server: Server) -> Iterator[tuple[Face, Any]]:
    """One client for the module, of either face."""
    face = Face(request.param == "AsyncClient")
    yield face, face.open(shared_server.target, timeout=5)
    face.close()


def call(face: Face, client: Any, method: str, arguments: dict[str, Any]) -> None:
    """Call and take all outcomes; a wrong argument is a TwinserveError."""
    arguments = {**{name: GOOD[name] for name in METHODS[method] if name in GOOD}, **arguments}
    if method == "predict_stream":
        arguments["images"] = [arguments["images"]]
    with suppress(TwinserveError):
        result = attrgetter(method)(client)(**arguments)
        if method == "predict_stream":
            face.take(result)
        else:
            face.run(result)


@pytest.mark.parametrize(("method", "name"), [(method, name) for method, names in METHODS.items() for name in names])
def test_one_odd_argument(shared: tuple[Face, Any], method: str, name: str) -> None:
    for value in ODD:
        call(*shared, method, {name: value})


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_arguments(shared: tuple[Face, Any], method: str, data: st.DataObject) -> None:
    names = data.draw(st.sets(st.sampled_from(METHODS[method]), min_size=1))
    call(*shared, method, {name: data.draw(anything, label=name) for name in sorted(names)})


@pytest.mark.parametrize("images", ODD, ids=lambda value: type(value).__name__)
def test_a_stream_over_anything(shared: tuple[Face, Any], images: Any) -> None:
    face, client = shared
    # An error of the caller's own iterable is raised as it is.
    with suppress(TwinserveError, *([RuntimeError] if isinstance(images, Hostile) else [])):
        for outcome in face.take(client.predict_stream(images, on_error="return")):
            assert isinstance(outcome, Prediction | TwinserveError)


OPTIONS = (
    "target",
    "model",
    "timeout",
    "retries",
    "retry_exhausted",
    "tls",
    "token",
    "metadata",
    "isolated",
    "channel_options",
)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.filterwarnings("ignore:the token goes to")
def test_an_odd_option_of_a_client(kind: Any, option: str, shared_server: Server) -> None:
    face = Face(kind is AsyncClient)
    for value in [*ODD, {"X-Team": "a\nb"}, {"grpc-x": "a"}, {"a-bin": "b"}, {"a": 5}, [("a",)], [("a", object())],
                  [(5, 5)], [("grpc.max_send_message_length", "much")], [("a\ud800", 1)], [("a", 2**40)]]:  # fmt: skip
        with suppress(TwinserveError):
            client = face.open(**{"target": shared_server.target, "retries": 0, option: value})
            if option not in ("target", "model", "timeout", "token", "retries"):
                face.run(client.predict(IMAGE))
    face.close()


@pytest.mark.parametrize("field", ["ca", "cert", "key", "server_name"])
def test_an_odd_field_of_tls(field: str) -> None:
    for value in ODD:
        with suppress(ConfigurationError):
            Client("127.0.0.1:1", tls=TLS(**{field: value})).close()


@pytest.mark.parametrize("field", RetryPolicy.__dataclass_fields__)
def test_an_odd_field_of_a_retry_policy(field: str) -> None:
    for value in ODD:
        with suppress(ConfigurationError):
            Client("127.0.0.1:1", retries=RetryPolicy(**{field: value})).close()


@pytest.mark.parametrize("timeout", [math.inf, 9e9, 1e308, 2**62, np.float64("inf"), fractions.Fraction(10**12)])
def test_a_timeout_beyond_all_waiting_is_no_limit(face: Face, server: Server, timeout: Any) -> None:
    client = face.open(server.target, timeout=timeout)
    face.run(client.predict(IMAGE))
    face.run(client.predict(IMAGE, timeout=timeout))
    assert len(face.take(client.predict_stream([IMAGE], timeout=timeout))) == 1
    assert face.run(client.wait_until_ready(timeout)).ready


@pytest.mark.parametrize("timeout", [0, -1, -math.inf, math.nan, "5", b"5", True, False, [5], np.array(5.0), 1j])
def test_a_timeout_that_is_none_is_refused_by_name(face: Face, server: Server, timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^timeout: is .*; give seconds above 0, or math\.inf"):
        face.open(server.target, timeout=timeout)
    client = face.open(server.target)
    calls: list[Callable[[], Any]] = [
        lambda: client.predict(IMAGE, timeout=timeout),
        lambda: client.predict_stream([IMAGE], timeout=timeout),
        lambda: client.compare(IMAGE, timeout=timeout),
        lambda: client.wait_until_ready(timeout),
        lambda: client.get_status(timeout=timeout),
    ]
    for attempt in calls:
        with pytest.raises(InvalidInputError, match=r"^timeout: is ") as caught:
            face.run(attempt())
        assert caught.value.violations[0].field == "timeout"
    assert server.behaviour.calls == []


def test_a_length_of_time_says_how_to_write_it(face: Face, client: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"give timedelta\.total_seconds\(\)"):
        face.run(client.predict(IMAGE, timeout=dt.timedelta(seconds=5)))


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("predict", {"images": IMAGE, "variant": 8}, "variant: is 8, of type int; give text"),
        ("predict", {"images": IMAGE, "request_id": "\ud800"}, "request_id: '.ud800' holds a lone surrogate"),
        ("predict", {"images": IMAGE, "routing_key": b"user"}, "routing_key: is b'user', of type bytes"),
        ("predict", {"images": {1: 1}}, "inputs: has the key 1; give names"),
        ("predict", {"images": b"\x89PNG"}, "input.datatype: is .S4"),
        ("predict", {"images": np.ma.masked_array(IMAGE, IMAGE == 0)}, "input: contains masked values; fill them"),
        ("predict", {"images": np.full(SHAPE, 1e300)}, "input.data: holds values beyond FP32"),
        ("compare", {"images": IMAGE, "variants": ["int8", 8]}, "variants: holds 8, of type int"),
        ("send_feedback", {"request_id": "", "labels": [1]}, "request_id: is empty"),
        ("send_feedback", {"request_id": "r", "labels": [2**40]}, "labels: hold 1099511627776: no class numbers"),
        ("send_feedback", {"request_id": "r", "labels": [-1]}, "labels: hold -1: no class numbers"),
        ("send_feedback", {"request_id": "r", "labels": [[1], [2, 3]]}, "labels: cannot be converted to an array"),
        ("send_feedback", {"request_id": "r", "labels": [True]}, "labels: are of type bool"),
        ("send_feedback", {"request_id": "r", "labels": []}, "labels: are of type float64 and shape .0."),
        ("set_traffic", {"weights": ["int8"]}, "weights: is .'int8'.; give a mapping, as in"),
        ("set_traffic", {"weights": {"int8": math.nan}}, "weights.'int8'.: is nan; give a finite number"),
        ("set_traffic", {"weights": {"int8": 1}, "if_generation": 1.5}, "if_generation: is 1.5; give a whole number"),
    ],
)  # fmt: skip
def test_the_argument_is_named(face: Face, client: Any, method: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^{message}"):
        face.run(getattr(client, method)(**arguments))


def test_a_wrong_image_keeps_its_place_in_a_stream(face: Face, client: Any) -> None:
    wrong = [Hostile(), {"a": 1}, None, np.array([object()]), np.ma.masked_array(IMAGE, IMAGE == 0)]
    outcomes = face.take(client.predict_stream([IMAGE, *wrong, IMAGE], on_error="return"))
    assert [type(outcome) for outcome in outcomes] == [Prediction, *[InvalidInputError] * len(wrong), Prediction]


def test_closing_ends_calls_in_flight_with_an_error_of_ours(server: Server) -> None:
    server.behaviour.holding = True
    client = Client(server.target)
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            client.predict(IMAGE)
        except BaseException as error:  # noqa: BLE001  (that no other kind comes is what is tested)
            caught.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(lambda: server.behaviour.calls, 30)
    client.close()
    asking.join(30)
    assert [isinstance(error, TwinserveError) for error in caught] == [True]
