"""Latency against batch size and against steps, as a figure."""

from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from .atomic import atomic
from .bench_figures import Row

ENDINGS = (".png", ".svg", ".pdf")

# Colours that the colour-blind can tell apart (Okabe and Ito), the pale yellow left out.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

Number = Callable[[Row], int]
Name = Callable[[Row], tuple[str, ...]]


def write_plot(target: Path, rows: Sequence[Row], title: str) -> None:
    """Draw the median latency of each line of settings, with a band from p50 to p90.

    A panel needs two numbers on its axis; with neither, the batch sizes have one anyway.
    """
    # A Figure of its own, not pyplot: no window, no global state.
    from matplotlib.figure import Figure  # pyright: ignore[reportMissingImports]

    panels = _panels(rows)
    figure = Figure(figsize=(5.2 * len(panels) + 0.8, 4.2), layout="constrained")
    all_axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (label, number, other) in zip(all_axes, panels, strict=True):
        _draw(axes, rows, label, number, other)
    all_axes[0].set_ylabel("latency of a call (ms)")
    figure.suptitle(title, fontsize="medium")
    with atomic(target) as temporary:
        figure.savefig(temporary, format=target.suffix[1:].lower(), dpi=150)


def _panels(rows: Sequence[Row]) -> list[tuple[str, Number, tuple[str, Number]]]:
    """Label and number of each panel's axis, and the number that tells its lines apart."""
    batch: tuple[str, Number] = ("batch", lambda row: row.batch)
    steps: tuple[str, Number] = ("steps", lambda row: row.steps)
    panels = [("batch size", batch[1], steps), ("steps", steps[1], batch)]
    varied = [panel for panel in panels if len(set(map(panel[1], rows))) > 1]
    return varied or panels[:1]


def _draw(
    axes: Any, rows: Sequence[Row], label: str, number: Number, other: tuple[str, Number]
) -> None:
    name = _name(rows, *other)
    for line, colour in zip(dict.fromkeys(map(name, rows)), cycle(_COLOURS), strict=False):
        points = sorted((row for row in rows if name(row) == line), key=number)
        at = [number(row) for row in points]
        p50_ms, p90_ms = [row.p50_ms for row in points], [row.p90_ms for row in points]
        axes.plot(at, p50_ms, "o-", color=colour, markersize=4, label=", ".join(line))
        axes.fill_between(at, p50_ms, p90_ms, color=colour, alpha=0.15, linewidth=0)
    ticks = sorted(set(map(number, rows)))
    # Costs grow in proportion, so that equal slopes are equal costs of an image or a step.
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel(label)
    axes.grid(visible=True, alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")


def _name(rows: Sequence[Row], word: str, number: Number) -> Name:
    """Make the function that names a row's line, by what is not the same in all rows."""
    parts: tuple[Callable[[Row], str], ...] = (
        lambda row: row.bundle,
        lambda row: row.device,
        lambda row: row.variant,
        lambda row: f"{word} {number(row)}",
    )
    telling = [part for part in parts if len(set(map(part, rows))) > 1] or [parts[-1]]
    return lambda row: tuple(part(row) for part in telling)
