"""The lower rows of the A/B board: answers and traffic."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import units

from panels import RECORDED, VARIANT, bars, facts, latest, lines, query

WINDOW = "[$__rate_interval]"


def answers_row(found: dashboard.Dashboard) -> dashboard.Dashboard:
    """Accuracy by later labels, disagreement with the primary, predicted classes."""
    difference = f"rate(twinserve_shadow_probability_difference_bucket{{{VARIANT}}}{WINDOW})"
    predicted = f"increase(twinserve_predictions_total{{{VARIANT}}}[$__range])"
    return (
        found.with_row(dashboard.Row("Answers"))
        .with_panel(
            lines(
                "Accuracy by later labels",
                "Share of the images labelled (SendFeedback) in the last hour that the variant classified correctly.",
                units.PercentUnit,
                query(f"variant:twinserve_feedback_accuracy:ratio_rate1h{{{RECORDED}}}", "{{variant}}"),
            )
        )
        .with_panel(
            lines(
                "Disagreement with the primary",
                "Share of shadowed images whose class differs.",
                units.PercentUnit,
                query(
                    f"sum by (variant, primary) (rate(twinserve_shadow_disagreements_total{{{VARIANT}}}{WINDOW})) "
                    f"/ sum by (variant, primary) (rate(twinserve_shadow_images_total{{{VARIANT}}}{WINDOW}))",
                    "{{variant}} vs {{primary}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Largest probability difference",
                "Between the class probabilities of primary and shadow, per request: median and 95th percentile.",
                units.Short,
                *(
                    query(
                        f"histogram_quantile({value}, sum by (variant, primary, le) ({difference}))",
                        f"{{{{variant}}}} vs {{{{primary}}}} p{round(100 * value)}",
                    )
                    for value in (0.5, 0.95)
                ),
            )
        )
        .with_panel(
            bars(
                "Predicted classes",
                "Share of each class among the images that a variant answered, over the time shown.",
                units.PercentUnit,
                latest(
                    f"sum by (variant, class) ({predicted}) / on (variant) group_left sum by (variant) ({predicted})",
                    "{{variant}} {{class}}",
                ),
            )
        )
    )


def traffic_row(found: dashboard.Dashboard) -> dashboard.Dashboard:
    """Who got how many requests and why, shadows included, and what is served."""
    return (
        found.with_row(dashboard.Row("Traffic"))
        .with_panel(
            lines(
                "Requests",
                "Finished requests by variant and route.",
                units.RequestsPerSecond,
                query(
                    f"sum by (variant, route) (rate(twinserve_requests_total{{{VARIANT}}}{WINDOW}))",
                    "{{variant}} {{route}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Split",
                "Share of the requests that name no variant: the policy's weights, and the actual draw.",
                units.PercentUnit,
                query(f"max by (variant) (twinserve_traffic_weight{{{VARIANT}}})", "{{variant}} policy"),
                query(
                    f'sum by (variant) (rate(twinserve_routed_total{{reason!="named",{VARIANT}}}{WINDOW})) '
                    f'/ on () group_left () sum (rate(twinserve_routed_total{{reason!="named",{VARIANT}}}{WINDOW}))',
                    "{{variant}} drawn",
                ),
            )
        )
        .with_panel(
            lines(
                "Shadow runs",
                "Requests that also ran on the variant, and those dropped because it was busy.",
                units.RequestsPerSecond,
                query(
                    f"sum by (variant) (rate(twinserve_shadow_requests_total{{{VARIANT}}}{WINDOW}))", "{{variant}} run"
                ),
                query(
                    f"sum by (variant) (rate(twinserve_shadow_dropped_total{{{VARIANT}}}{WINDOW}))",
                    "{{variant}} dropped",
                ),
            )
        )
        .with_panel(
            lines(
                "Routing decisions",
                "named by the request, drawn by its routing key, or at random.",
                units.RequestsPerSecond,
                query(
                    f"sum by (variant, reason) (rate(twinserve_routed_total{{{VARIANT}}}{WINDOW}))",
                    "{{variant}} {{reason}}",
                ),
            )
        )
        .with_panel(
            facts(
                "What is served",
                "Artefacts by hash; a result holds only for its instruction set.",
                f"twinserve_model_info{{{VARIANT}}}",
                ["job"],
            )
        )
    )
