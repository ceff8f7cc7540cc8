"""How many processes run on which machine: by cores, memory, what an image costs, and what was asked for."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from twinserve_server.ipc.load_facts import Cost
from twinserve_server.supervisor.sizing import Asked, Key, Machine, Sizing, size

GIB = 1 << 30
INT8, FP32 = ("mnist", "int8"), ("mnist", "fp32")
#: µs an image in batches: Zen 4 with VNNI, a processor with AMX, and Zen 3, which has neither.
VNNI = {FP32: 265.0, INT8: 76.0}
AMX = {FP32: 190.0, INT8: 30.0}
PLAIN = {FP32: 520.0, INT8: 300.0}


def sized(cores: int, image_us: dict[Key, float], memory: int = 64 * GIB, **asked: object) -> Sizing:
    costs = {key: Cost(2 * value, value, 64, 136 << 20) for key, value in image_us.items()}
    return size(Machine(cores, memory), costs, Asked(**asked))  # type: ignore[arg-type]


def counts(sizing: Sizing) -> tuple[int, int, int]:
    return sizing.gateways, sizing.replicas[INT8], sizing.replicas[FP32]


@pytest.mark.parametrize(
    ("cores", "image_us", "gateways", "replicas"),
    [
        pytest.param(1, VNNI, 1, 1, id="one core: one of each"),
        pytest.param(2, VNNI, 2, 1, id="two cores, cheap in the middle: a replica more would be memory only"),
        pytest.param(2, PLAIN, 2, 2, id="two cores, dear: one model process would be the limit"),
        pytest.param(4, VNNI, 2, 2, id="four cores"),
        pytest.param(16, AMX, 10, 6, id="sixteen cores, cheap: most of them to the gateways"),
        pytest.param(16, PLAIN, 4, 9, id="sixteen cores, dear: most of them to the models"),
    ],
)
def test_the_whole_machine_is_used(cores: int, image_us: dict[Key, float], gateways: int, replicas: int) -> None:
    assert counts(sized(cores, image_us)) == (gateways, replicas, replicas)


def test_a_busy_machine_changes_nothing_on_two_cores() -> None:
    """What was measured beside other work is up to a third dearer; a server must not take more memory for it."""
    assert counts(sized(2, {FP32: 345.0, INT8: 100.0})) == (2, 1, 1)


@pytest.mark.parametrize("image_us", [VNNI, AMX, PLAIN])
def test_more_cores_never_mean_fewer_processes(image_us: dict[Key, float]) -> None:
    found = [counts(sized(cores, image_us)) for cores in range(1, 129)]
    for fewer, more in itertools.pairwise(found):
        assert all(a <= b for a, b in zip(fewer, more, strict=True)), (fewer, more)


def test_what_was_asked_for_stands() -> None:
    sizing = sized(16, AMX, gateways=3, replicas={"int8": 1})
    assert counts(sizing) == (3, 1, 6)
    assert sizing.reasons[0] == "3 gateways on 16 usable cores: as set by --gateways"
    assert any(line.startswith("1 model process of mnist/int8: as set by --replicas; ") for line in sizing.reasons)


def test_a_slower_transport_gets_more_gateways_and_fewer_replicas() -> None:
    aio, fast = sized(8, AMX, transport="aio"), sized(8, AMX, transport="fast")
    assert aio.gateways >= fast.gateways
    assert aio.replicas[FP32] < fast.replicas[FP32]


def test_a_native_gateway_fills_two_cores() -> None:
    assert [sized(cores, AMX, transport="native").gateways for cores in (1, 2, 16)] == [1, 1, 4]


def test_threads_take_the_place_of_replicas() -> None:
    assert sized(16, PLAIN, threads=4).replicas[FP32] < sized(16, PLAIN).replicas[FP32]


def test_replicas_stay_within_half_of_the_memory() -> None:
    sizing = sized(16, AMX, memory=2 * GIB)
    assert sum(sizing.replicas.values()) <= 5
    assert any("half of the memory holds 2" in line for line in sizing.reasons)
    # One of each is what serves at all.
    assert set(sized(16, AMX, memory=GIB // 8).replicas.values()) == {1}


def test_a_model_that_takes_more_memory_gets_fewer_processes() -> None:
    machine, small = Machine(16, 8 * GIB), Cost(60.0, 300.0, 64, 16 << 20)
    large = replace(small, added_bytes=GIB)
    assert (
        size(machine, {INT8: small}, Asked()).replicas[INT8] > size(machine, {INT8: large}, Asked()).replicas[INT8] == 3
    )


def test_where_ports_cannot_be_shared_there_is_one_gateway() -> None:
    costs = {INT8: Cost(60.0, 30.0, 64, 136 << 20)}
    assert size(Machine(8, GIB, shares_port=False), costs, Asked()).gateways == 1


def test_every_decision_has_its_reason() -> None:
    assert sized(2, VNNI).reasons == [
        "2 gateways on 2 usable cores: 1.0 would be busy; a request costs a gateway some 140 µs, an image the models "
        "142 µs in the middle",
        "1 model process of mnist/fp32: of each variant 1.0 would be busy; an image takes 265 µs in batches of 64, "
        "530 µs alone",
        "1 model process of mnist/int8: of each variant 1.0 would be busy; an image takes 76 µs in batches of 64, "
        "152 µs alone",
        "1 thread in a forward pass: more would take the cores of the others",
    ]
