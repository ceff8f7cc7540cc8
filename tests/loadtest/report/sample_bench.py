"""What `twinserve models bench --json` would write, with numbers that were made up, not measured."""

from __future__ import annotations

from typing import Any

from loadtest.report.sample_load_test import FIGURES, IMAGES

#: Seconds for the test set at batch 1 and 64: three repeats each.
SECONDS = {
    "fp32": {"1": [7.1, 7.0, 7.4], "64": [5.2, 5.0, 5.1]},
    "int8": {"1": [3.0, 2.9, 3.3], "64": [1.1, 1.0, 1.2]},
    "int8-dynamic": {"1": [4.4, 4.5, 4.3], "64": [4.9, 5.3, 5.0]},
}


def sample_bench() -> dict[str, Any]:
    """Three variants."""
    return {
        "bench": {
            "schema_version": 1,
            "model": "mnist",
            "version": "1",
            "dataset": {"name": "MNIST", "source": "made up for a test", "test_images": IMAGES, "full": True},
            "threads": 1,
            "repeats": 3,
            "runtime": {"torch": "2.13.0+cpu"},
            "rows": [
                {
                    "variant": name,
                    "bytes": int(FIGURES[name][2] * 1024),
                    "correct": 9900,
                    "total": IMAGES,
                    "seconds": seconds,
                }
                for name, seconds in SECONDS.items()
            ],
        }
    }
