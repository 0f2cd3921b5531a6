"""The benchmark's figures as text."""

from collections.abc import Callable, Sequence

from .figures import Row
from .report import Comparison, Profile

# A column: its heading, and a cell of it.
Column = tuple[str, Callable[[Row], str]]

_OPERATORS_SHOWN = 10

_NAMES: tuple[Column, ...] = (
    ("bundle", lambda row: row.bundle),
    ("device", lambda row: row.device),
    ("variant", lambda row: row.variant),
    ("steps", lambda row: str(row.steps)),
    ("batch", lambda row: str(row.batch)),
)
_WORDS = ("bundle", "device", "variant")

_SPEED: tuple[Column, ...] = (
    ("p50 ms", lambda row: f"{row.p50_ms:.1f}"),
    ("p90 ms", lambda row: f"{row.p90_ms:.1f}"),
    ("p99 ms", lambda row: f"{row.p99_ms:.1f}"),
    ("images/s", lambda row: f"{row.images_per_second:.2f}"),
    ("evaluations/s", lambda row: f"{row.evaluations_per_second:.1f}"),
    ("outside", lambda row: _percent(row.outside_network)),
    ("of peak", lambda row: _percent(row.share_of_peak)),
)
_START: tuple[Column, ...] = (
    ("first image s", lambda row: f"{row.cold_ms / 1e3:.2f}"),
    ("import s", lambda row: f"{row.import_ms / 1e3:.2f}"),
    ("load s", lambda row: f"{row.load_ms / 1e3:.2f}"),
    ("first call s", lambda row: f"{row.first_call_ms / 1e3:.2f}"),
    ("memory MB", lambda row: "" if row.peak_bytes is None else f"{row.peak_bytes / 1e6:.0f}"),
)


def speed_table(rows: Sequence[Row]) -> str:
    """Return latency, throughput and shares, a line for each row."""
    return _table(rows, _SPEED)


def start_table(rows: Sequence[Row]) -> str:
    """Return what a fresh process costs, a line for each row."""
    return _table(rows, _START)


def comparison_table(comparison: Comparison) -> str:
    """Return the contestants with their times relative to the first."""
    cells = [(_title(comparison), "p50 ms", "relative", "")]
    cells += [
        (result.name, f"{result.p50_ms:.1f}", f"{result.ratio:.3f}", result.note)
        for result in comparison.results
    ]
    return aligned(cells, left=(0, 3))


def profile_table(profile: Profile) -> str:
    """Return the operators that take the longest, and the rest in one line."""
    shown = profile.operators[:_OPERATORS_SHOWN]
    lines = [(entry.operator, entry.calls, entry.ms, entry.share) for entry in shown]
    if rest := profile.operators[_OPERATORS_SHOWN:]:
        calls, ms = sum(entry.calls for entry in rest), sum(entry.ms for entry in rest)
        lines.append((f"{len(rest)} others", calls, ms, sum(entry.share for entry in rest)))
    title = f"{profile.bundle}, {_title(profile)}"
    cells = [(name, str(calls), f"{ms:.2f}", _percent(share)) for name, calls, ms, share in lines]
    return aligned([(title, "calls", "ms", "share"), *cells], left=(0,))


def aligned(cells: Sequence[Sequence[str]], *, left: Sequence[int] = ()) -> str:
    """Return rows of cells in columns, their text on the right but in the columns `left`."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def _table(rows: Sequence[Row], figures: Sequence[Column]) -> str:
    # What is the same in every row is said once, above the table.
    names = [column for column in _NAMES if _varies(rows, column)]
    common = [f"{column[0]} {column[1](rows[0])}" for column in _NAMES if column not in names]
    columns = [*names, *figures]
    cells = [[heading for heading, _ in columns]]
    cells += [[cell(row) for _, cell in columns] for row in rows]
    words = [index for index, (heading, _) in enumerate(names) if heading in _WORDS]
    return "\n".join([*([", ".join(common)] if common else []), aligned(cells, left=words)])


def _varies(rows: Sequence[Row], column: Column) -> bool:
    return len({column[1](row) for row in rows}) > 1


def _title(of: Comparison | Profile) -> str:
    return f"{of.device}, steps {of.steps}, batch {of.batch}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
