"""Latency against batch size and against steps, as a figure."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from ..output.atomic import atomic
from .figures import Row

ENDINGS = (".png", ".svg", ".pdf")

# Colours that the colour-blind can tell apart (Okabe and Ito), without the pale yellow.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vP"
_LONG_LABEL = 24

Number = Callable[[Row], int]

# The label and number of a panel's axis; the words for the other number, and that number.
_BATCH, _STEPS = attrgetter("batch"), attrgetter("steps")
_PANELS = (("batch size", _BATCH, "{} steps", _STEPS), ("steps", _STEPS, "batch {}", _BATCH))

_names = attrgetter("bundle", "device", "variant")


def write_plot(target: Path, rows: Sequence[Row], processor: str) -> None:
    """Draw the median latency of the settings, with a whisker from there to the 90th percentile.

    The batch size and the steps each have a panel if there are several values.
    """
    # A Figure of its own, not pyplot: no window, no global state.
    from matplotlib.figure import Figure  # pyright: ignore[reportMissingImports]

    panels = [panel for panel in _PANELS if len(set(map(panel[1], rows))) > 1] or _PANELS[:1]
    figure = Figure(figsize=(0.6 + 5 * len(panels), 5), layout="constrained")
    all_axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, panel in zip(all_axes, panels, strict=True):
        _draw(axes, rows, *panel)
    all_axes[0].set_ylabel("latency of a call, p50 to p90 (ms)")
    figure.suptitle(_plain(", ".join([*_common(rows), processor])), fontsize="medium")
    with atomic(target) as temporary:
        figure.savefig(temporary, format=target.suffix[1:].lower(), dpi=150)


def _common(rows: Sequence[Row]) -> list[str]:
    """Return the names that are the same in all rows, for the title."""
    return [column[0] for column in zip(*map(_names, rows), strict=True) if len(set(column)) == 1]


def _plain(text: str) -> str:
    """Return a text, which may have a file's name, so that any can be drawn and none is maths."""
    return text.encode("utf-8", "backslashreplace").decode().replace("$", r"\$")


def _draw(
    axes: Any, rows: Sequence[Row], label: str, number: Number, unit: str, other: Number
) -> None:
    """Draw a line for each kind of setting, by colour, and each other number, by marker."""
    common = _common(rows)
    kinds = list(dict.fromkeys(map(_names, rows)))
    others = sorted(set(map(other, rows)))
    for kind, line in ((kind, line) for kind in kinds for line in others):
        points = [row for row in rows if _names(row) == kind and other(row) == line]
        if not points:  # an unrolled bundle has few settings
            continue
        points.sort(key=number)
        axes.errorbar(
            [number(row) for row in points],
            [row.p50_ms for row in points],
            [[0.0] * len(points), [row.p90_ms - row.p50_ms for row in points]],
            color=_COLOURS[kinds.index(kind) % len(_COLOURS)],
            marker=_MARKERS[others.index(line) % len(_MARKERS)],
            markersize=5,
            elinewidth=0.8,
            capsize=2,
            label=_plain(", ".join([*(x for x in kind if x not in common), unit.format(line)])),
        )
    _tidy(axes, label, sorted(set(map(number, rows))))


def _tidy(axes: Any, label: str, ticks: Sequence[float]) -> None:
    """Set the axes, their ticks and the legend."""
    from matplotlib import ticker  # pyright: ignore[reportMissingImports]

    # Costs grow in proportion, which is a straight line on these axes whatever an image costs.
    axes.set(xscale="log", yscale="log", xlabel=label)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
    axes.minorticks_off()
    axes.grid(visible=True, alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    # Below the axes, where it covers nothing; two columns of bundles' names would be too wide.
    _, labels = axes.get_legend_handles_labels()
    axes.legend(
        frameon=False,
        fontsize="small",
        ncols=2 if max(map(len, labels)) < _LONG_LABEL else 1,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.14),
    )
