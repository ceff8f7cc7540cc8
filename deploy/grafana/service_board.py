"""The service board: does the server answer, and what does it cost?"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import units

from gpu_row import gpus_row
from panels import INSTANCE, PLAIN, VARIANT, Steps, bars, board, facts, heat, latest, lines, number, query

WINDOW = "[$__rate_interval]"
GOOD_AT_ONE: Steps = [(None, "red"), (1.0, "green")]
BAD_ABOVE_ZERO: Steps = [(None, "green"), (1.0, "red")]
ERROR_STEPS: Steps = [(None, "green"), (0.001, "yellow"), (0.01, "red")]
PREDICT = 'grpc_service="twinserve.v1.PredictService"'


def service_board() -> dashboard.Dashboard:
    """RPCs, queues, processes."""
    found = board(
        "twinserve-service",
        "twinserve: service",
        "RPC rates and codes, queues and batches, processes: CPU, memory, restarts.",
        ("model", "variant", "instance"),
    )
    for row in (_overview, _rpcs, _queues, _processes, gpus_row):
        found = row(found)
    return found


def _overview(found: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        found.with_row(dashboard.Row("Overview"))
        .with_panel(
            number(
                "Models ready",
                "Share of variants with all replicas warm.",
                units.PercentUnit,
                query(f"avg by (instance) (twinserve_model_ready{{{VARIANT}}})", "{{instance}}"),
                span=4,
                steps=GOOD_AT_ONE,
                decimals=0,
            )
        )
        .with_panel(
            number(
                "RPCs",
                "Finished RPCs of PredictService.",
                units.RequestsPerSecond,
                query(f"sum (rate(grpc_server_handled_total{{{PREDICT},{INSTANCE}}}{WINDOW}))", "all instances"),
                span=4,
                steps=PLAIN,
                decimals=0,
            )
        )
        .with_panel(
            number(
                "Errors",
                "Share of the RPCs in the last 5 minutes that failed through a fault of the server, not of the caller.",
                units.PercentUnit,
                query("service:grpc_server_handled_errors:ratio_rate5m", "{{job}}"),
                span=4,
                steps=ERROR_STEPS,
            )
        )
        .with_panel(
            number(
                "Error budget spent",
                "Errors in the last 6 hours relative to what 99.9 % allows: above 1 the error budget shrinks.",
                units.Short,
                query("service:grpc_server_handled_errors:ratio_rate6h / 0.001", "{{job}}"),
                span=4,
                steps=[(None, "green"), (1.0, "yellow"), (6.0, "red")],
            )
        )
        .with_panel(
            number(
                "In flight",
                "RPCs started but not finished.",
                units.Short,
                query(
                    f"sum (grpc_server_started_total{{{PREDICT},{INSTANCE}}}) "
                    f"- sum (grpc_server_handled_total{{{PREDICT},{INSTANCE}}})",
                    "all instances",
                ),
                span=4,
                decimals=0,
            )
        )
        .with_panel(
            number(
                "Restarts",
                "Unplanned process exits in the time shown.",
                units.Short,
                query(f"sum (increase(twinserve_process_restarts_total{{{INSTANCE}}}[$__range]))", "all processes"),
                span=4,
                steps=BAD_ABOVE_ZERO,
                decimals=0,
            )
        )
    )


def _rpcs(found: dashboard.Dashboard) -> dashboard.Dashboard:
    handled = f"rate(grpc_server_handled_total{{{INSTANCE}}}{WINDOW})"
    seconds = "grpc_server_handling_seconds"
    bucket = f"rate({seconds}_bucket{{{PREDICT},{INSTANCE}}}{WINDOW})"
    return (
        found.with_row(dashboard.Row("RPCs"))
        .with_panel(
            lines(
                "RPCs by method",
                "Finished RPCs, health checks included.",
                units.RequestsPerSecond,
                query(f"sum by (grpc_method) ({handled})", "{{grpc_method}}"),
            )
        )
        .with_panel(
            lines(
                "RPCs by status",
                "As seen by callers; refused, cancelled and timed-out RPCs are separate.",
                units.RequestsPerSecond,
                query(f"sum by (grpc_code) ({handled})", "{{grpc_code}}"),
                stack=True,
            )
        )
        .with_panel(
            lines(
                "Handling time by method",
                "From the arrival of an RPC to its status; a stream counts for its whole length.",
                units.Seconds,
                *(
                    query(
                        f"histogram_quantile({value}, sum by (grpc_method, le) ({bucket}))",
                        f"{{{{grpc_method}}}} p{round(100 * value)}",
                    )
                    for value in (0.5, 0.99)
                ),
            )
        )
        .with_panel(
            heat(
                "Handling time of Predict",
                "Distribution of handling time over time.",
                units.Seconds,
                f'sum by (le) (increase({seconds}_bucket{{grpc_method="Predict",{INSTANCE}}}{WINDOW}))',
            )
        )
    )


def _queues(found: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        found.with_row(dashboard.Row("Queues and batches"))
        .with_panel(
            lines(
                "Images and requests waiting",
                "In the queues of the gateways, by variant.",
                units.Short,
                query(f"sum by (variant) (twinserve_queue_depth_images{{{VARIANT}}})", "{{variant}} images"),
                query(f"sum by (variant) (twinserve_queue_depth_requests{{{VARIANT}}})", "{{variant}} requests"),
            )
        )
        .with_panel(
            lines(
                "Images in model processes",
                "Sent by the gateways, not yet answered.",
                units.Short,
                query(f"sum by (variant) (twinserve_in_flight_images{{{VARIANT}}})", "{{variant}}"),
            )
        )
        .with_panel(
            lines(
                "Input bytes in gateways",
                "Inputs of waiting and running requests, by variant; --max-queue-mib limits the waiting ones.",
                units.BytesIEC,
                query(f"sum by (variant) (twinserve_queue_depth_bytes{{{VARIANT}}})", "{{variant}} waiting"),
                query(f"sum by (variant) (twinserve_in_flight_bytes{{{VARIANT}}})", "{{variant}} running"),
                stack=True,
            )
        )
        .with_panel(
            heat(
                "Batch sizes",
                "Forward passes by number of images.",
                units.Short,
                f"sum by (le) (increase(twinserve_batch_size_images_bucket{{{VARIANT}}}{WINDOW}))",
            )
        )
        .with_panel(
            lines(
                "Requests without an answer",
                "By reason, once a variant was chosen.",
                units.RequestsPerSecond,
                query(
                    f"sum by (variant, reason) (rate(twinserve_refused_total{{{VARIANT}}}{WINDOW}))",
                    "{{variant}} {{reason}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Failed batches",
                "Failed forward passes, and the outcome of their images, which are then run one by one: rescued, "
                "poisoned (failed alone as well) or not run.",
                units.Short,
                query(
                    f"sum by (variant) (rate(twinserve_failed_batches_total{{{VARIANT}}}{WINDOW}))",
                    "{{variant}} batches/s",
                ),
                query(
                    f"sum by (variant, outcome) (rate(twinserve_failed_batch_images_total{{{VARIANT}}}{WINDOW}))",
                    "{{variant}} {{outcome}} images/s",
                ),
            )
        )
        .with_panel(
            lines(
                "Images answered",
                "Images per second, shadow runs included.",
                units.Short,
                query(f"sum by (variant) (rate(twinserve_images_total{{{VARIANT}}}{WINDOW}))", "{{variant}}"),
            )
        )
        .with_panel(
            lines(
                "Requests in each stage",
                "Average number of requests in a stage: seconds that requests spend there, per second. "
                "*Without an answer*: requests that ended without one.",
                units.Short,
                query(
                    f"sum by (variant, stage) (rate(twinserve_request_stage_seconds_total{{{VARIANT}}}{WINDOW}))",
                    "{{variant}} {{stage}}",
                ),
                query(
                    f"sum by (variant) (rate(twinserve_refused_seconds_total{{{VARIANT}}}{WINDOW}))",
                    "{{variant}} without an answer",
                ),
            )
        )
    )


def _processes(found: dashboard.Dashboard) -> dashboard.Dashboard:
    model_cpu = f"sum by (variant) (rate(twinserve_model_cpu_seconds_total{{{VARIANT}}}{WINDOW}))"
    loaded = f"min by (variant) (twinserve_model_last_load_timestamp_seconds{{{VARIANT}}})"
    gateway_cpu = f"sum by (gateway) (rate(twinserve_gateway_cpu_seconds_total{{{INSTANCE}}}{WINDOW}))"
    return (
        found.with_row(dashboard.Row("Processes"))
        .with_panel(
            lines(
                "CPU",
                "Cores in use by the model processes of a variant, and by each gateway.",
                units.Short,
                query(model_cpu, "{{variant}}"),
                query(gateway_cpu, "{{gateway}}"),
                stack=True,
            )
        )
        .with_panel(
            lines(
                "Memory",
                "PSS splits shared pages among the processes that map them, so the sum is the whole server's.",
                units.BytesIEC,
                query(f'sum by (variant) (twinserve_model_resident_bytes{{kind="pss",{VARIANT}}})', "{{variant}}"),
                query(f'sum by (gateway) (twinserve_gateway_resident_bytes{{kind="pss",{INSTANCE}}})', "{{gateway}}"),
                query(f'sum (twinserve_supervisor_resident_bytes{{kind="pss",{INSTANCE}}})', "supervisor"),
                stack=True,
            )
        )
        .with_panel(
            lines(
                "Restarts by process",
                "Process restarts since the server started.",
                units.Short,
                query(f"twinserve_process_restarts_total{{{INSTANCE}}}", "{{process}} {{reason}}"),
                span=8,
            )
        )
        .with_panel(
            lines(
                "Log lines lost",
                "Log lines dropped per second because nobody read them or the disk was full; requests go on.",
                units.Short,
                query(f"rate(twinserve_log_lines_lost_total{{{INSTANCE}}}{WINDOW})", "{{process}}"),
                span=8,
            )
        )
        .with_panel(
            bars(
                "Load and warm-up",
                "How long the last load of a variant took, and its warm-up over every batch size.",
                units.Seconds,
                latest(f"max by (variant) (twinserve_model_load_duration_seconds{{{VARIANT}}})", "{{variant}} load"),
                latest(
                    f"max by (variant) (twinserve_model_warm_up_duration_seconds{{{VARIANT}}})", "{{variant}} warm-up"
                ),
                span=8,
            )
        )
        .with_panel(
            number(
                "Serving since",
                "Age of the variant's last load.",
                units.Seconds,
                query(f"time() - {loaded}", "{{variant}}"),
                span=8,
                decimals=0,
            )
        )
        .with_panel(
            facts(
                "Build",
                "Software versions, and the gRPC transport in use.",
                f"twinserve_build_info{{{INSTANCE}}}",
                ["job"],
            )
        )
    )
