"""``python -m twinserve_bench.reliability.chaos``: one seeded run; exit code 1 when something was lost or wrong."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from twinserve_bench.processes import ensure_models
from twinserve_bench.reliability.chaos.run import run
from twinserve_bench.reliability.chaos.schedule import Fault, schedule


def main() -> int:
    """Read the options, run, print the ledger."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--seed", type=int, default=1, help="the same one gives the same schedule")
    parser.add_argument("--faults", type=int, default=len(Fault), help="how many")
    names = [fault.name.lower() for fault in Fault]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these faults")
    parser.add_argument("--transport", choices=("aio", "fast", "native"), default="fast")
    parser.add_argument("--callers", type=int, default=8)
    given = parser.parse_args()
    ensure_models(given.models)
    steps = schedule(given.seed, given.faults, [Fault[name.upper()] for name in given.only])
    with tempfile.TemporaryDirectory() as folder:
        try:
            outcome = run(
                given.models, Path(folder), steps, transport=given.transport, callers=given.callers, seed=given.seed
            )
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return 1
    print("\n".join(outcome.rows()))
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
