"""How many processes fit this machine: a pure function of cores, memory and what an image costs each variant.

The CPU time of a request in a gateway and of an image in its model is known. With all cores busy, gateways and model
processes share the cores in that proportion, which gives their numbers.

The variants of a model get the same number of processes, based on the geometric mean of their costs per image: with
different numbers, a comparison would compare the plan, not the models. Each gets as many as if it had all the traffic:
idle processes cost memory, not time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Final

from twinserve_server.ipc.load_facts import Cost

#: CPU that a gateway spends on one single-image request at 64 in flight, in µs (docs/benchmarks.md).
GATEWAY_US: Final = {"fast": 140.0, "aio": 470.0, "native": 80.0}
#: How many cores a gateway keeps busy: on the native transport, its Rust threads use a second one.
GATEWAY_CORES: Final = {"native": 2}
#: Each variant gets another model process if at least a third of it would be busy: below that it is mostly memory.
LEAST_BUSY: Final = 1 / 3
#: Memory of another model process besides its model and the shared part: 20 MiB when idle, plus its answers.
REPLICA_BYTES: Final = 64 << 20

#: (model, variant)
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Machine:
    """What this server may use."""

    cores: int
    memory_bytes: int
    #: Whether several gateways can share a port.
    shares_port: bool = True


@dataclass(frozen=True, slots=True)
class Asked:
    """What the settings say; 0, or a variant not named: as fits."""

    gateways: int = 0
    replicas: Mapping[str, int] | None = None
    threads: int = 1
    transport: str = "auto"


@dataclass(frozen=True, slots=True)
class Sizing:
    """How many processes of each kind to run, and why, in lines for people."""

    gateways: int
    replicas: dict[Key, int]
    reasons: list[str]


def size(machine: Machine, costs: Mapping[Key, Cost], asked: Asked) -> Sizing:
    """Decide for ``costs``, which has every variant to be served."""
    gateway_us = GATEWAY_US.get(asked.transport, GATEWAY_US["fast"])
    middle = {
        model: geometric_mean([cost.image_us for key, cost in costs.items() if key[0] == model]) for model, _ in costs
    }
    gateways, reasons = _gateways(machine, min(middle.values()), asked, gateway_us)
    # At most half of the memory is used for processes that only add speed.
    afforded = max(1, machine.memory_bytes // 2 // sum(REPLICA_BYTES + cost.added_bytes for cost in costs.values()))
    replicas = {}
    for (model, variant), cost in costs.items():
        told = (asked.replicas or {}).get(variant, 0)
        busy = machine.cores / asked.threads * middle[model] / (gateway_us + middle[model])
        # The half not given to models is left to gateways, clients and the kernel.
        fitting = max(1, min(int(busy + 1 - LEAST_BUSY), machine.cores // (2 * asked.threads) + 1))
        count = replicas[model, variant] = told or min(fitting, afforded)
        why = "as set by --replicas" if told else f"of each variant {busy:.1f} would be busy"
        if not told and afforded < fitting:
            why += f", but half of the memory holds {afforded}"
        reasons.append(
            f"{_count(count, 'model process', 'model processes')} of {model}/{variant}: {why}; an image takes "
            f"{cost.image_us:,.0f} µs in batches of {cost.batch_limit}, {cost.one_us:,.0f} µs alone"
        )
    return Sizing(gateways, replicas, [*reasons, threads_reason(asked.threads)])


def threads_reason(threads: int) -> str:
    """Why a forward pass gets so many threads."""
    why = "more would take the cores of the others" if threads == 1 else "as set by --threads"
    return f"{_count(threads, 'thread')} in a forward pass: {why}"


def _gateways(machine: Machine, image_us: float, asked: Asked, gateway_us: float) -> tuple[int, list[str]]:
    cores = _count(machine.cores, "usable core")
    if asked.gateways:
        return asked.gateways, [f"{_count(asked.gateways, 'gateway')} on {cores}: as set by --gateways"]
    if not machine.shares_port:
        return 1, [f"1 gateway on {cores}: only Linux balances the connections to a port that several share"]
    busy = machine.cores * gateway_us / (gateway_us + image_us)
    each = GATEWAY_CORES.get(asked.transport, 1)
    # Two on two cores: one encodes while the other's batch runs. The models keep a quarter of the cores.
    fitting = max(1, min(2, machine.cores) // each, min(round(busy), 3 * machine.cores // 4) // each)
    why = (
        f"{busy / each:.1f} would be busy; a request costs a gateway some {gateway_us:.0f} µs, an image the models "
        f"{image_us:,.0f} µs in the middle"
    )
    return fitting, [f"{_count(fitting, 'gateway')} on {cores}: {why}"]


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
