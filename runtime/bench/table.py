"""The benchmark's figures as text."""

from collections.abc import Callable, Sequence
from operator import attrgetter

from .figures import Row
from .report import Comparison, Profile

# A column: its heading, and a cell of it.
Column = tuple[str, Callable[[Row], object]]

_OPERATORS_SHOWN = 10

_WORDS = ("bundle", "device", "variant")
_NAMES: tuple[Column, ...] = tuple((name, attrgetter(name)) for name in (*_WORDS, "steps", "batch"))

SPEED: tuple[Column, ...] = (
    ("p50 ms", lambda row: f"{row.p50_ms:.1f}"),
    ("p90 ms", lambda row: f"{row.p90_ms:.1f}"),
    ("p99 ms", lambda row: f"{row.p99_ms:.1f}"),
    ("images/s", lambda row: f"{row.images_per_second:.2f}"),
    ("evaluations/s", lambda row: f"{row.evaluations_per_second:.1f}"),
    ("outside", lambda row: "" if row.outside_network is None else f"{row.outside_network:.1%}"),
    ("of peak", lambda row: f"{row.share_of_peak:.1%}"),
)
START: tuple[Column, ...] = (
    ("first image s", lambda row: f"{row.cold_ms / 1e3:.2f}"),
    ("import s", lambda row: f"{row.import_ms / 1e3:.2f}"),
    ("load s", lambda row: f"{row.load_ms / 1e3:.2f}"),
    ("first call s", lambda row: f"{row.first_call_ms / 1e3:.2f}"),
    ("memory MB", lambda row: "" if row.peak_bytes is None else f"{row.peak_bytes / 1e6:.0f}"),
)


def table(rows: Sequence[Row], figures: Sequence[Column]) -> str:
    """Return the columns SPEED or START, a line for each row, below the names that all share."""
    names = [column for column in _NAMES if len(set(map(column[1], rows))) > 1]
    common = [f"{column[0]} {column[1](rows[0])}" for column in _NAMES if column not in names]
    columns = [*names, *figures]
    cells = [[heading for heading, _ in columns]]
    cells += [[str(cell(row)) for _, cell in columns] for row in rows]
    words = [index for index, (heading, _) in enumerate(names) if heading in _WORDS]
    return "\n".join([*([", ".join(common)] if common else []), aligned(cells, left=words)])


def comparison_table(comparison: Comparison) -> str:
    """Return the contestants with their times relative to the first."""
    cells = [(_title(comparison), "p50 ms", "relative", "")]
    cells += [
        (result.name, f"{result.p50_ms:.1f}", f"{result.ratio:.3f}", result.note)
        for result in comparison.results
    ]
    return aligned(cells, left=(0, 3))


def profile_table(profile: Profile) -> str:
    """Return the operators that take the longest, and the others in one line."""
    shown, rest = profile.operators[:_OPERATORS_SHOWN], profile.operators[_OPERATORS_SHOWN:]
    lines = [(entry.operator, entry.calls, entry.ms, entry.share) for entry in shown]
    if rest:
        calls, ms = sum(entry.calls for entry in rest), sum(entry.ms for entry in rest)
        lines.append((f"{len(rest)} others", calls, ms, sum(entry.share for entry in rest)))
    cells = [(f"{profile.bundle}, {_title(profile)}", "calls", "ms", "share")]
    cells += [(name, str(calls), f"{ms:.2f}", f"{share:.1%}") for name, calls, ms, share in lines]
    return aligned(cells, left=(0,))


def aligned(cells: Sequence[Sequence[str]], *, left: Sequence[int] = ()) -> str:
    """Return rows of cells in columns; the text of columns `left` is on the left."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    columns = (f"{{:{'<' if n in left else '>'}{width}}}" for n, width in enumerate(widths))
    line_format = "  ".join(columns)
    return "\n".join(line_format.format(*line).rstrip() for line in cells)


def _title(of: Comparison | Profile) -> str:
    return f"{of.device}, steps {of.steps}, batch {of.batch}"
