"""The A/B board: is the quantised variant worth shipping, by what is served now?"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import units

from ab_rows import answers_row, traffic_row
from panels import (
    RATIO_STEPS,
    RECORDED,
    VARIANT,
    Steps,
    against_baseline,
    bars,
    board,
    heat,
    latest,
    lines,
    number,
    query,
)

BY = "by (model, version, variant)"
WINDOW = "[$__rate_interval]"
DROP_STEPS: Steps = [(None, "green"), (0.002, "yellow"), (0.01, "red")]


def ab_board() -> dashboard.Dashboard:
    """Side by side: speed, memory, accuracy, traffic."""
    found = board(
        "twinserve-ab",
        "twinserve: A/B",
        "A model and its quantised twin, side by side. The baseline is the variant that is not quantised.",
        ("model", "variant", "instance"),
    )
    for row in (_verdict, _latency, _cost, answers_row, traffic_row):
        found = row(found)
    return found


def _verdict(found: dashboard.Dashboard) -> dashboard.Dashboard:
    ratios = [
        (
            "p50 ÷ baseline",
            "Median request latency relative to the baseline, last 5 minutes.",
            "request_duration_ratio:p50_rate5m",
        ),
        (
            "p99 ÷ baseline",
            "99th percentile of request latency relative to the baseline.",
            "request_duration_ratio:p99_rate5m",
        ),
        ("Compute ÷ baseline", "Forward-pass seconds per image, relative to the baseline.", "inference_ratio:rate5m"),
    ]
    found = found.with_row(dashboard.Row("What a verdict rests on, live (to measure it, run `twinserve compare`)"))
    for title, description, record in ratios:
        expr = f"variant:twinserve_{record}{{{RECORDED}}}"
        found = found.with_panel(
            number(
                title, f"{description} Below 1 is faster.", units.Short, query(expr, "{{variant}}"), steps=RATIO_STEPS
            )
        )
    sizes = [
        (
            "Artefact ÷ baseline",
            "File size relative to the baseline.",
            f"twinserve_model_artefact_bytes{{{VARIANT}}}",
        ),
        (
            "Memory added ÷ baseline",
            "Memory added by the model once warm, relative to the baseline.",
            f'twinserve_model_added_bytes{{stage="warm_up",{VARIANT}}}',
        ),
    ]
    for title, description, expr in sizes:
        found = found.with_panel(
            number(title, description, units.Short, query(against_baseline(expr), "{{variant}}"), steps=RATIO_STEPS)
        )
    return (
        found.with_panel(
            number(
                "Accuracy lost",
                "Accuracy of the baseline minus that of the variant, by the labels of the last hour. Below 0: a gain.",
                units.PercentUnit,
                query(f"variant:twinserve_feedback_accuracy:drop_rate1h{{{RECORDED}}}", "{{variant}}"),
                steps=DROP_STEPS,
            )
        )
        .with_panel(
            number(
                "Disagreement",
                "Share of the images shadowed in the last hour whose class differs from the primary's.",
                units.PercentUnit,
                query(
                    f"variant:twinserve_shadow_disagreements:ratio_rate1h{{{RECORDED}}}",
                    "{{variant}} vs {{primary}}",
                ),
                steps=DROP_STEPS,
            )
        )
        .with_panel(
            number(
                "Labelled images",
                "Images labelled in the last hour; accuracy is computed from these.",
                units.Short,
                query(f"variant:twinserve_feedback_images:increase1h{{{RECORDED}}}", "{{variant}}"),
                decimals=0,
            )
        )
    )


def _latency(found: dashboard.Dashboard) -> dashboard.Dashboard:
    bucket = f'twinserve_request_duration_seconds_bucket{{route!="shadow",{VARIANT}}}'
    percentiles = [
        query(
            f"histogram_quantile({value}, sum by (model, version, variant, le) (rate({bucket}{WINDOW})))",
            f"{{{{variant}}}} p{round(100 * value)}",
        )
        for value in (0.5, 0.95, 0.99)
    ]
    stage = f"twinserve_stage_duration_seconds_%s{{{VARIANT}}}{WINDOW}"
    by_stage = "by (model, version, variant, stage)"
    images = f"twinserve_batch_size_images_%s{{{VARIANT}}}{WINDOW}"
    return (
        found.with_row(dashboard.Row("Latency"))
        .with_panel(
            lines(
                "Request latency",
                "From the decoded request to the answer, by variant. Compare arms at equal load only.",
                units.Seconds,
                *percentiles,
            )
        )
        .with_panel(
            lines(
                "Ratio to the baseline",
                "Candidate latency divided by baseline latency. Above the line the candidate is slower.",
                units.Short,
                query(f"variant:twinserve_request_duration_ratio:p50_rate5m{{{RECORDED}}}", "{{variant}} p50"),
                query(f"variant:twinserve_request_duration_ratio:p99_rate5m{{{RECORDED}}}", "{{variant}} p99"),
                steps=[(None, "green"), (1.0, "red")],
            )
        )
        .with_panel(
            heat(
                "Request latency of $variant",
                "Distribution of request latency over time.",
                units.Seconds,
                f"sum by (le) (increase({bucket}{WINDOW}))",
                span=24,
            ).repeat("variant")
        )
        .with_panel(
            lines(
                "Mean time of a stage",
                "queue: of a request; transfer, preprocess, inference and postprocess: of a batch.",
                units.Seconds,
                query(
                    f"sum {by_stage} (rate({stage % 'sum'})) / sum {by_stage} (rate({stage % 'count'}))",
                    "{{variant}} {{stage}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Mean batch",
                "Images per forward pass. Batching differs by arm: a faster model forms smaller batches.",
                units.Short,
                query(f"sum {BY} (rate({images % 'sum'})) / sum {BY} (rate({images % 'count'}))", "{{variant}}"),
            )
        )
    )


def _cost(found: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        found.with_row(dashboard.Row("Memory and CPU"))
        .with_panel(
            lines(
                "Memory of the model processes",
                "Current PSS and RSS: the runtime, the model, and what inference has left on the heap.",
                units.BytesIEC,
                query(
                    f"sum by (model, version, variant, kind) (twinserve_model_resident_bytes{{{VARIANT}}})",
                    "{{variant}} {{kind}}",
                ),
            )
        )
        .with_panel(
            bars(
                "What the model itself adds",
                "Anonymous memory beyond that of the same process without the model, after each step.",
                units.BytesIEC,
                latest(f"max by (variant, stage) (twinserve_model_added_bytes{{{VARIANT}}})", "{{variant}} {{stage}}"),
            )
        )
        .with_panel(
            bars(
                "Artefact and parameters",
                "Bytes of the file and of its parameters, including packed quantised ones.",
                units.BytesIEC,
                latest(f"max by (variant) (twinserve_model_artefact_bytes{{{VARIANT}}})", "{{variant}} file"),
                latest(f"max by (variant) (twinserve_model_parameter_bytes{{{VARIANT}}})", "{{variant}} parameters"),
            )
        )
        .with_panel(
            lines(
                "CPU time per 1,000 images",
                "CPU seconds of the model processes per 1,000 images. Gateways are not included.",
                units.Seconds,
                query(
                    f"1000 * sum {BY} (rate(twinserve_model_cpu_seconds_total{{{VARIANT}}}{WINDOW})) "
                    f"/ sum {BY} (rate(twinserve_batch_size_images_sum{{{VARIANT}}}{WINDOW}))",
                    "{{variant}}",
                ),
            )
        )
    )
