"""The plan on more and more cores: one server after the other with the defaults, held to the first N cores.

Rates with 64 and 256 single images in flight, and CPU µs a request by process. The generator runs on the same cores.
A machine of 16 cores needs some four minutes; it needs no network. Examples:

    python -m twinserve_bench.many_cores                    2, 4, 8 and 16 cores, as many as there are
    python -m twinserve_bench.many_cores --cores 2,16 --transports fast,native
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from twinserve_bench.h2load import LoadError, drive
from twinserve_bench.messages import TestSet
from twinserve_bench.processes import affinity, ensure_models, pss_mib, twinserve

IN_FLIGHT = (64, 256)
#: h2load may hang if its time is up before all of 256 connections are open.
WARM_UP_SECONDS = 2.0
VARIANTS = ("int8", "fp32")


def main() -> int:
    """Measure; print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--cores", default="2,4,8,16")
    parser.add_argument("--transports", default="fast,native")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    arguments = parser.parse_args()
    ensure_models(arguments.models)
    tests, there = TestSet(arguments.models), affinity()
    table = Table("cores", "transport", "variant", "in flight", "images/s", "p50 ms", "CPU µs by process", "idle MiB")
    try:
        for _ in range(arguments.rounds):
            for count in (int(text) for text in arguments.cores.split(",") if int(text) <= len(there)):
                # All processes started from here on inherit it, including the generator.
                os.sched_setaffinity(0, there[:count])
                for transport in arguments.transports.split(","):
                    flags = ("--variants", "fp32,int8", "--transport", transport)
                    with twinserve(arguments.models, *flags) as server:
                        idle = f"{pss_mib(server.pid):.0f}"
                        for variant in VARIANTS:
                            tests.check(server.port, variant)
                            message = tests.request(variant).SerializeToString()
                            for in_flight in IN_FLIGHT:
                                load = drive(
                                    server.port,
                                    message,
                                    in_flight,
                                    arguments.seconds,
                                    warm_up=WARM_UP_SECONDS,
                                    server_pid=server.pid,
                                )
                                spent = ", ".join(f"{role} {us:.0f}" for role, us in load.cpu_us.items() if us >= 1)
                                rate, p50 = f"{load.requests_per_second:,.0f}", f"{load.p50_us / 1000:.2f}"
                                row = (f"{count}", transport, variant, f"{in_flight}", rate, p50, spent, idle)
                                table.add_row(*row)
    except LoadError as error:
        print(f"error: {error}; what was measured before:", file=sys.stderr)
        return 1
    finally:
        os.sched_setaffinity(0, there)
        Console(width=140).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
