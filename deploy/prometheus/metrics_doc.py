"""Write ``docs/metrics.md`` from the server's ``families.py``; with ``--check``, only check that it is current.

python deploy/prometheus/metrics_doc.py [--check]
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from twinserve_server.metrics import families
from twinserve_server.metrics.family import Family

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "metrics.md"
TOPICS = {
    "RPCs": ("grpc_server_",),
    "Requests": ("twinserve_request", "twinserve_refused", "twinserve_routed", "twinserve_traffic"),
    "Batches and stages": (
        "twinserve_stage",
        "twinserve_batch",
        "twinserve_failed_batch",
        "twinserve_queue",
        "twinserve_in_flight",
    ),
    "Answers": ("twinserve_images", "twinserve_predictions", "twinserve_shadow", "twinserve_feedback"),
    "Models": ("twinserve_model",),
    "GPUs": ("twinserve_gpu",),
    "Processes": ("twinserve_gateway", "twinserve_supervisor", "twinserve_process", "twinserve_log", "twinserve_build"),
}
SUFFIX = {"counter": "_total", "info": "_info", "gauge": "", "histogram": ""}

HEAD = """\
# Metrics

What a server exposes on `http://HOST:METRICS_PORT/metrics`, in Prometheus' text format, or in OpenMetrics on request.
Generated from `server/twinserve_server/metrics/families.py` by `deploy/prometheus/metrics_doc.py`.
[observability.md](observability.md) explains how to read and use them.

Every family about a variant has the labels `model`, `version` and `variant`. Times are in seconds, memory is in bytes,
and metrics that count images rather than requests say so in their name. Series are summed over the processes of a
server, except those with the label `gateway` or `process`. No counter decreases while the server runs, whichever of its
processes is killed.
"""


def page() -> str:
    """The text of the page."""
    parts = [HEAD]
    left = list(families.FAMILIES)
    for topic, prefixes in TOPICS.items():
        found = [family for family in left if family.name.startswith(prefixes)]
        left = [family for family in left if family not in found]
        rows = "\n".join(_row(family) for family in found)
        parts.append(f"## {topic}\n\n| metric | kind | labels | meaning | used in |\n|---|---|---|---|---|\n{rows}\n")
    if left:
        raise ValueError(f"no topic for {', '.join(family.name for family in left)}")
    parts.append(_buckets())
    return "\n".join(parts)


def _row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    return f"| `{family.name}{SUFFIX[family.kind]}` | {family.kind} | {labels} | {family.help} | {_uses(family)} |"


def _buckets() -> str:
    lines = [
        f"- `{family.name}`: " + ", ".join(f"{bound:g}" for bound in family.buckets)
        for family in families.FAMILIES
        if family.buckets
    ]
    return "## Upper bounds of the buckets\n\n" + "\n".join(lines) + "\n"


def _uses(family: Family) -> str:
    """The boards and rule files that name the family."""
    pattern = re.compile(rf"(?<![\w:]){family.name}(?:_total|_info|_bucket|_count|_sum)?(?![\w:])")
    boards = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
    places = [
        json.loads(path.read_text("utf-8"))["title"].removeprefix("twinserve: ") + " board"
        for path in boards
        if pattern.search(path.read_text("utf-8"))
    ]
    rules = sorted((ROOT / "deploy/prometheus/rules").glob("*.yml"))
    places += [path.stem for path in rules if pattern.search(path.read_text("utf-8"))]
    return ", ".join(places)


def main() -> int:
    """Write or check; 1 when the committed page is not current."""
    current = PAGE.exists() and PAGE.read_text("utf-8") == page()
    if "--check" in sys.argv[1:]:
        print("docs/metrics.md is current" if current else "docs/families.md is stale: run this without --check")
        return 0 if current else 1
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
