"""A page and a tab in Locust's web UI: latency and accuracy by variant, live."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

if TYPE_CHECKING:
    from hdrh.histogram import HdrHistogram
    from locust.web import WebUI

    from twinserve_loadtest.locust_cli.conductor import Conductor
    from twinserve_loadtest.record.run import Arm

TAB = "twinserve"
CURVE = (0, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97, 98, 99, 99.3, 99.6, 99.9)
"""Percentiles of the drawn curve; those that the sample does not carry are left out."""

COLUMNS = (
    ("scenario", "Scenario"),
    ("variant", "Variant"),
    ("requests", "# Requests"),
    ("failures", "# Fails"),
    ("p50", "p50 (µs)"),
    ("p90", "p90 (µs)"),
    ("p95", "p95 (µs)"),
    ("p99", "p99 (µs)"),
    ("max", "Max (µs)"),
    ("images_per_second", "Images/s"),
    ("accuracy", "Accuracy %"),
    ("coverage", "Test set %"),
    ("remark", "Remark"),
)


def add_page(web_ui: WebUI, conductor: Conductor) -> None:
    """Add ``/twinserve`` (a page with pictures) and a tab with the table to Locust's own page."""
    app = web_ui.app
    assert app is not None
    pages = Blueprint("twinserve", __name__, url_prefix=conductor.options.web_base_path or None)
    page = resources.files("twinserve_loadtest.locust_cli").joinpath("web_page.html").read_text("utf-8")

    def show() -> Response:
        return Response(page, mimetype="text/html")

    def data() -> Response:
        return jsonify(live_data(conductor))

    for rule, view in (("/twinserve", show), ("/twinserve/data.json", data)):
        pages.add_url_rule(rule, view_func=web_ui.auth_required_if_enabled(view))  # type: ignore[no-untyped-call]

    @app.after_request
    def extend(response: Response) -> Response:
        if request.path.endswith("/stats/requests") and response.is_json and response.status_code == 200:
            rows = live_data(conductor)["rows"]
            stats = {**(response.json or {}), "extended_stats": [{"key": TAB, "data": rows}]}
            response.set_data(json.dumps(stats))
        return response

    web_ui.template_args |= {
        "extended_tabs": [{"title": "Variants", "key": TAB}],
        "extended_tables": [{"key": TAB, "structure": [{"key": key, "title": title} for key, title in COLUMNS]}],
        "extended_csv_files": [{"href": "./twinserve", "title": "Latency and accuracy by variant (page)"}],
    }
    app.register_blueprint(pages)


def live_data(conductor: Conductor) -> dict[str, Any]:
    """What the page draws: one row a scenario and variant."""
    info = conductor.test.dataset if conductor.test is not None else None
    return {
        "now": conductor.now,
        "dataset": None
        if info is None
        else f"{info.images:,} images of {info.name} ({info.source})"
        + ("" if info.full else ", NOT the full test set"),
        "columns": [{"key": key, "title": title} for key, title in COLUMNS],
        "rows": [row(scenario, name, arm) for scenario, arms in conductor.live().items() for name, arm in arms.items()],
    }


def row(scenario: str, name: str, arm: Arm) -> dict[str, Any]:
    """One row of the table, with the latency curve of the picture."""
    latency, answers, generator = arm.latency, arm.answers, arm.generator
    remarks = [why for reasons in (generator.invalid if generator else {}).values() for why in reasons]
    return {
        "name": f"{scenario} {name}",
        "scenario": scenario,
        "variant": name,
        "requests": arm.requests,
        "failures": arm.failed,
        **{percentile: latency.at(percentile) for percentile in ("p50", "p90", "p95", "p99")},
        "max": latency.max_us,
        "images_per_second": round(arm.images_per_second),
        "accuracy": round(100 * answers.share.estimate, 2) if answers else None,
        "coverage": round(100 * answers.coverage, 1) if answers else 0.0,
        "remark": f"not valid: {remarks[0]}" if remarks else "",
        "curve": curve(latency.histogram),
    }


def curve(histogram: HdrHistogram) -> list[list[float]]:
    """(percentile, µs) pairs for drawing, as far out as there are samples."""
    count = histogram.get_total_count()
    known = [percentile for percentile in CURVE if count * (1 - percentile / 100) >= 1]
    values = histogram.get_percentile_to_value_dict(known) if known else {}
    return [[percentile, values[percentile]] for percentile in known]
