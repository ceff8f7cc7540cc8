"""``make bench-reliability``: runs the scenarios and prints a table of what is promised and what was found.

python -m twinserve_bench.reliability.run --models models --only deadlines

A scenario is a module in ``scenarios``; to add one is to add a file. Exit code 1: a bound does not hold.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from dataclasses import dataclass
from pathlib import Path

from twinserve_bench.processes import busy_warning, ensure_models
from twinserve_bench.reliability import scenarios
from twinserve_bench.reliability.finding import Finding


@dataclass(frozen=True, slots=True)
class Bench:
    """What a scenario is given.

    Attributes:
        models: the model folder.
        seconds: of one load.
        rounds: how often everything is measured, in turn.
    """

    models: Path
    seconds: float
    rounds: int


def main() -> int:
    """Run what was asked for."""
    names = sorted(module.name for module in pkgutil.iter_modules(scenarios.__path__))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these scenarios")
    parser.add_argument("--seconds", type=float, default=4.0, help="of one load")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    load_before = os.getloadavg()[0]
    ensure_models(given.models)
    bench = Bench(given.models, given.seconds, given.rounds)
    findings: list[Finding] = []
    try:
        for name in given.only:
            findings += importlib.import_module(f"{scenarios.__name__}.{name}").run(bench)
    finally:
        # Whatever a scenario does must not cost what those before it found.
        if warning := busy_warning(load_before):
            print(warning)
        print("| scenario | what | bound | median (min to max) | holds |\n|---|---|---|---|---|")
        for finding in findings:
            print(finding.row())
    return 0 if all(finding.passed for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
