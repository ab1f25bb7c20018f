"""Tables in Markdown and plots, from rows. What stands behind ± is half of a 95 % interval over seeds."""

from collections.abc import Sequence

import altair as alt

from benchmarks.throughput import order_statistics
from benchmarks.throughput.studies import FOUR, MEAN, SHAPES, SIGMAS, Row
from verl_spo.simulation.collecting import Rest, Way

SHORT = {
    "groups, wait for all": "groups",
    "groups, first, rest aborted": "groups, aborted",
    "groups, first, rest continued": "groups, continued",
    "groups, continuous": "groups, continuous",
    "single-stream, wait for all": "single, all",
    "single-stream, first, rest aborted": "single, aborted",
    "single-stream, first, rest continued": "single, continued",
    "single-stream, continuous": "single, continuous",
}
COLOURS = {
    "groups, aborted": "#e69f00",
    "groups, continuous": "#d55e00",
    "single, aborted": "#56b4e9",
    "single, continuous": "#0072b2",
}


def published(rows: Sequence[Row]) -> str:
    """The first 24 of 48 against groups, with what order statistics say."""
    lines = []
    for row in _of(rows, "published", Way(grouped=False, rest=Rest.ABORTED)):
        wide = row.setting.slots == 48
        quantiles = order_statistics.lognormal(MEAN, float(row.label))
        exact = f"{order_statistics.ratio(quantiles, 24, 1):.2f}" if wide else ""
        others = [_one(rows, row, way) for way in (Way(False, Rest.NONE), *FOUR)]
        lines.append(
            [
                row.label,
                str(row.setting.slots),
                *(_ratio(other) for other in others),
                exact,
                _figure(others[1], "length"),
                _figure(row, "length"),
                _percent(row, "wasted"),
            ]
        )
    columns = [SHORT[str(way)] for way in (Way(False, Rest.NONE), *FOUR)]
    last = ["exact: single, aborted", "length: groups, aborted", "length: single, aborted", "wasted: single, aborted"]
    return table(["sigma", "slots", *columns, *last], lines)


def whole_map(rows: Sequence[Row], slots: int) -> str:
    """All durations by group size, at so many slots."""
    lines = []
    for shape in SHAPES:
        cells = {(row.setting.group, row.way): row for row in rows if _in_map(row, slots, shape)}
        alone = [cells[4, str(way)] for way in FOUR[2:]]
        ratios = [_ratio(cells[group, str(way)]) for way in FOUR[:2] for group in (4, 8, 16)]
        length = [_figure(cells[8, str(FOUR[0])], "length"), _figure(alone[0], "length")]
        lines.append([shape, *ratios, *map(_ratio, alone), *length, _figure(alone[1], "most_stale", 0)])
    head = [f"groups of {group}, {name}" for name in ("aborted", "continuous") for group in (4, 8, 16)]
    last = ["length: groups of 8, aborted", "length: single, aborted", "most stale: single, continuous"]
    return table(["durations", *head, "single, aborted", "single, continuous", *last], lines)


def staleness(rows: Sequence[Row]) -> str:
    """Continuous collection in groups and single-stream, by the threshold."""
    lines = []
    for groups in _of(rows, "staleness", Way(grouped=True, rest=Rest.CONTINUOUS)):
        alone = _one(rows, groups, Way(grouped=False, rest=Rest.CONTINUOUS))
        cells = [cell(row) for cell in (_ratio, _idle, _stale, _most) for row in (groups, alone)]
        lines.append([groups.label, *cells])
    names = ("ratio", "idle", "staleness", "most stale")
    head = [f"{name}: {stream}" for name in names for stream in ("groups", "single")]
    return table(["staleness_threshold", *head], lines)


def by_way(rows: Sequence[Row], study: str, first: str, figures: Sequence[str]) -> str:
    """A study's cases line by line: each way's ratio, and some figures of the first way but one."""
    labels = dict.fromkeys(row.label for row in rows if row.study == study)
    ways = list(dict.fromkeys(row.way for row in rows if row.study == study))
    lines = []
    for label in labels:
        cells = {row.way: row for row in rows if (row.study, row.label) == (study, label)}
        seconds = f"{cells[ways[0]].figures['seconds'].mean:.0f}"
        extra = [_percent(cells[ways[0]], name) for name in figures]
        lines.append([label, seconds, *(_ratio(cells[way]) for way in ways[1:]), *extra])
    return table([first, "groups: seconds", *(SHORT[way] for way in ways[1:]), *figures], lines)


def plot(rows: Sequence[Row]) -> alt.HConcatChart:
    """The map over sigma, groups of 8, at equal and at twice the slots of a batch; and the length trained on."""
    shapes = {f"lognormal, sigma {sigma:g}": sigma for sigma in SIGMAS}
    points = [
        {
            "sigma": shapes[row.label],
            "slots": f"{row.setting.slots} slots",
            "way": SHORT[row.way],
            **{name: row.figures[name].mean for name in ("ratio", "length")},
            "low": row.figures["ratio"].low,
            "high": row.figures["ratio"].high,
        }
        for row in rows
        if row.study == "map"
        and row.label in shapes
        and row.setting.slots in (48, 96)
        and row.setting.group == (8 if row.way.startswith("groups") else 4)
    ]
    base = alt.Chart(alt.InlineData(points)).encode(
        x=alt.X("sigma:Q", title="sigma of lognormal durations", axis=alt.Axis(grid=False)),
        color=alt.Color(
            "way:N",
            scale=alt.Scale(domain=[*COLOURS], range=[*COLOURS.values()]),
            legend=alt.Legend(title=None, labelLimit=0, symbolOpacity=1),
        ),
    )
    panels = []
    for slots in ("48 slots", "96 slots"):
        chosen = base.transform_filter(alt.datum.slots == slots)
        area = chosen.mark_area(opacity=0.15).encode(y=alt.Y("low:Q"), y2="high:Q")
        ratio = alt.Y("ratio:Q", title=f"times as fast as groups, {slots}", scale=alt.Scale(type="log"))
        panels.append((area + chosen.mark_line(point=True).encode(y=ratio)).properties(width=230, height=240))
    length = alt.Y("length:Q", title="length trained on, 96 slots", scale=alt.Scale(domain=[0, 1.1]))
    lengths = base.transform_filter(alt.datum.slots == "96 slots").mark_line(point=True).encode(y=length)
    panels.append(lengths.properties(width=230, height=240))
    # A browser's letters may be wider than those that the legend was measured with.
    padding = {"left": 5, "top": 5, "right": 40, "bottom": 5}
    joined: alt.HConcatChart = alt.hconcat(*panels).properties(padding=padding).configure_view(stroke=None)
    return joined


def table(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left."""
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (columns, rule, *lines))


def _of(rows: Sequence[Row], study: str, way: Way) -> list[Row]:
    return [row for row in rows if (row.study, row.way) == (study, str(way))]


def _one(rows: Sequence[Row], like: Row, way: Way) -> Row:
    """The row of another way in the same case."""
    (found,) = (
        row
        for row in rows
        if (row.study, row.label, row.setting, row.way) == (like.study, like.label, like.setting, str(way))
    )
    return found


def _in_map(row: Row, slots: int, shape: str) -> bool:
    return (row.study, row.setting.slots, row.label) == ("map", slots, shape)


def _figure(row: Row, name: str, digits: int = 2) -> str:
    return f"{row.figures[name].mean:.{digits}f}"


def _ratio(row: Row) -> str:
    """With its interval, unless it rounds to nothing."""
    value = row.figures["ratio"]
    half = f"{value.half:.2f}"
    return f"{value.mean:.2f}" if half == "0.00" else f"{value.mean:.2f} ± {half}"


def _percent(row: Row, name: str) -> str:
    return f"{100 * abs(row.figures[name].mean):.0f} %"


def _idle(row: Row) -> str:
    return _percent(row, "idle")


def _stale(row: Row) -> str:
    return _figure(row, "staleness")


def _most(row: Row) -> str:
    return _figure(row, "most_stale", 0)
