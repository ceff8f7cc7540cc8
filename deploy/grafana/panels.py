"""The house style of the boards: how a number, a line chart, a heat map, bars and a table look here."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, common, dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models import prometheus as prometheus_models

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
#: What the variables of a board choose; recorded series have no instance.
RECORDED = 'model=~"$model",variant=~"$variant"'
VARIANT = f'{RECORDED},instance=~"$instance"'
INSTANCE = 'instance=~"$instance"'

Steps = list[tuple[float | None, str]]
#: Candidate over baseline: below 1 is what the candidate was made for.
RATIO_STEPS: Steps = [(None, "green"), (0.9, "yellow"), (1.0, "red")]
PLAIN: Steps = [(None, "text")]


def query(expr: str, legend: str) -> prometheus.Dataquery:
    """A query over the time range of the board; ``legend`` names its series, as ``{{label}}``."""
    return prometheus.Dataquery().expr(expr).legend_format(legend).range()


def latest(expr: str, legend: str) -> prometheus.Dataquery:
    """A query for now alone."""
    return prometheus.Dataquery().expr(expr).legend_format(legend).instant()


def against_baseline(expr: str) -> str:
    """``expr`` of each quantised variant over that of the variant that is not quantised, model by model."""
    by = "model, version, variant"
    return (
        f'(max by ({by}) ({expr}) and on ({by}) twinserve_model_info{{quantization!="none"}})'
        f" / on (model, version) group_left () max by (model, version) "
        f'(max by ({by}) ({expr}) and on ({by}) twinserve_model_info{{quantization="none"}})'
    )


def lines(
    title: str,
    description: str,
    unit: str,
    *queries: prometheus.Dataquery,
    span: int = 12,
    stack: bool = False,
    steps: Steps | None = None,
) -> timeseries.Panel:
    """A line chart; its legend tells the last and the largest value. ``steps`` are drawn as lines."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(span)
        .height(8)
        .min(0)
        .line_width(1)
        .fill_opacity(60 if stack else 8)
        .show_points(common_models.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(common_models.LegendDisplayMode.TABLE)
            .placement(common_models.LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
    )
    if stack:
        panel = panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
    if steps:
        dashed = common.GraphThresholdsStyleConfig().mode(common_models.GraphTresholdsStyleMode.DASHED)
        panel = panel.thresholds(_thresholds(steps)).thresholds_style(dashed)
    for each in queries:
        panel = panel.with_target(each)
    return panel


def number(
    title: str,
    description: str,
    unit: str,
    found: prometheus.Dataquery,
    *,
    span: int = 3,
    steps: Steps = PLAIN,
    decimals: int = 2,
) -> stat.Panel:
    """One large number a series, coloured by ``steps``."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .decimals(decimals)
        .span(span)
        .height(4)
        .thresholds(_thresholds(steps))
        .color_mode(common_models.BigValueColorMode.VALUE)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .text_mode(common_models.BigValueTextMode.VALUE_AND_NAME)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(found)
    )


def bars(title: str, description: str, unit: str, *queries: prometheus.Dataquery, span: int = 12) -> bargauge.Panel:
    """Horizontal bars, one a series."""
    panel = (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(span)
        .height(8)
        .min(0)
        .display_mode(common_models.BarGaugeDisplayMode.BASIC)
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds([(None, "blue")]))
    )
    for each in queries:
        panel = panel.with_target(each)
    return panel


def heat(title: str, description: str, unit: str, expr: str, *, span: int = 12) -> heatmap.Panel:
    """A heat map of a histogram: ``expr`` gives one series a bucket (label ``le``)."""
    found = query(expr, "{{le}}").format(prometheus_models.PromQueryFormat.HEATMAP)
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(span)
        .height(8)
        .calculate(False)
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heatmap_models.HeatmapColorMode.SCHEME)
            .scheme("Viridis")
            .steps(64)
            .scale(heatmap_models.HeatmapColorScale.EXPONENTIAL)
            .exponent(0.5)
        )
        .show_tooltip()
        .with_target(found)
    )


def facts(title: str, description: str, expr: str, hidden: list[str], *, span: int = 24) -> table.Panel:
    """A table of the labels of an info metric."""
    found = latest(expr, "").format(prometheus_models.PromQueryFormat.TABLE)
    drop: dict[str, object] = {"excludeByName": dict.fromkeys(("Time", "Value", "__name__", *hidden), True)}
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit("string")
        .span(span)
        .height(6)
        .with_transformation(models.DataTransformerConfig(id_val="organize", options=drop))
        .with_target(found)
    )


def board(uid: str, title: str, description: str, labels: tuple[str, ...]) -> dashboard.Dashboard:
    """An empty board with a data source to choose and a variable for each of ``labels``."""
    found = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["twinserve"])
        .refresh("10s")
        .time("now-30m", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .link(
            dashboard.DashboardLink("twinserve boards")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["twinserve"])
            .include_vars(True)
            .keep_time(True)
        )
    )
    for label in labels:
        found = found.with_variable(
            dashboard.QueryVariable(label)
            .label(label.capitalize())
            .query(f"label_values(twinserve_model_info, {label})")
            .datasource(SOURCE)
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(models.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .current(models.VariableOption(selected=True, text="All", value="$__all"))
        )
    return found


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(value=value, color=color) for value, color in steps])
    )
