"""One attack; prints what was done, as JSON."""

from __future__ import annotations

import argparse
import json
import random
import time

from twinserve_bench.reliability.hostile.messages import assault
from twinserve_bench.reliability.hostile.wire import ATTACKS


def main() -> None:
    """As asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--kind", choices=[*ATTACKS, "messages"], required=True)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--most", type=int, default=10_000_000, help="end after so many")
    parser.add_argument("--seed", type=int, default=14)
    given = parser.parse_args()
    until = time.monotonic() + given.seconds
    if given.kind == "messages":
        found = assault(given.port, given.seed, until, given.most)
        print(json.dumps({"times": found.sent, "blamed": found.blamed, "codes": found.codes}))
    else:
        print(json.dumps({"times": ATTACKS[given.kind](given.port, random.Random(given.seed), until, given.most)}))


if __name__ == "__main__":
    main()
