"""The last row of the service board: GPUs. Empty on a machine without one."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import units

from panels import INSTANCE, VARIANT, lines, query


def gpus_row(found: dashboard.Dashboard) -> dashboard.Dashboard:
    """Memory of the model processes, utilisation, power."""
    return (
        found.with_row(dashboard.Row("GPUs"))
        .with_panel(
            lines(
                "GPU memory",
                "Memory of the model processes on GPUs: context, weights, the most that torch reserved, and the "
                "driver's own count. Empty on a machine without a GPU.",
                units.BytesIEC,
                query(
                    f"sum by (variant, kind) (twinserve_model_device_bytes{{{VARIANT}}})",
                    "{{variant}} {{kind}}",
                ),
                span=8,
            )
        )
        .with_panel(
            lines(
                "GPU utilisation",
                "Share of the time in which a kernel of any process ran. Empty on a machine without a GPU.",
                units.PercentUnit,
                query(f"twinserve_gpu_utilization_ratio{{{INSTANCE}}}", "{{gpu}} {{name}}"),
                span=8,
            )
        )
        .with_panel(
            lines(
                "GPU power",
                "Power drawn by the GPUs. Empty on a machine without a GPU.",
                units.Watt,
                query(f"twinserve_gpu_power_watts{{{INSTANCE}}}", "{{gpu}} {{name}}"),
                span=8,
            )
        )
    )
