"""A page and a tab in Locust's web UI: latency and accuracy by variant, live."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request
from hdrh.histogram import HdrHistogram

if TYPE_CHECKING:
    from locust.web import WebUI

    from twinserve_loadtest.locust_cli.conductor import Conductor
    from twinserve_loadtest.record.load_results import VariantResult

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
        "rows": [
            row(scenario, result) for scenario, results in conductor.live().items() for result in results.values()
        ],
    }


def row(scenario: str, result: VariantResult) -> dict[str, Any]:
    """One row of the table, with the latency curve of the picture."""
    latency, accuracy = result.latency, result.accuracy
    remarks = [reason for reasons in result.generator.invalid.values() for reason in reasons]
    return {
        "name": f"{scenario} {result.variant}",
        "scenario": scenario,
        "variant": result.variant,
        "requests": result.requests,
        "failures": sum(result.failures.values()),
        "p50": latency.p50_us,
        "p90": latency.p90_us,
        "p95": latency.p95_us,
        "p99": latency.p99_us,
        "max": latency.max_us,
        "images_per_second": round(result.images_per_second),
        "accuracy": round(100 * accuracy.correct / accuracy.total, 2) if accuracy else None,
        "coverage": round(100 * accuracy.coverage, 1) if accuracy else 0.0,
        "remark": f"not valid: {remarks[0]}" if remarks else "",
        "curve": curve(latency.histogram),
    }


def curve(histogram: str) -> list[list[float]]:
    """(percentile, µs) pairs for drawing, as far out as there are samples."""
    decoded = HdrHistogram.decode(histogram)
    count = decoded.get_total_count()
    known = [percentile for percentile in CURVE if count * (1 - percentile / 100) >= 1]
    values = decoded.get_percentile_to_value_dict(known) if known else {}
    return [[percentile, values[percentile]] for percentile in known]
