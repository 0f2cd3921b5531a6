"""All that a benchmark has measured, and on which machine."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..output.atomic import atomic
from .figures import Row, peak_gigaflops
from .machine import machine, versions
from .profile import OperatorTime

# onnxruntime-gpu is the same library under another name.
_PACKAGES = ("diffkiln", "onnxruntime", "onnxruntime-gpu", "numpy")


@dataclass(frozen=True)
class Result:
    """The times of a contestant; `ratio` is its time over the first one's, a median of pairs.

    If its network is not the bundle's but one of `multiply_adds` for an image, `ratio` is per
    multiply-add.
    """

    name: str
    ratio: float
    p50_ms: float
    latencies_ms: tuple[float, ...]
    multiply_adds: int
    versions: Mapping[str, str]
    note: str


@dataclass(frozen=True)
class Comparison:
    """The times of several contestants for the same sampling."""

    device: str
    steps: int
    batch: int
    results: Sequence[Result]


@dataclass(frozen=True)
class Profile:
    """The time of each operator of a baked sampler."""

    bundle: str
    device: str
    steps: int
    batch: int
    operators: Sequence[OperatorTime]


@dataclass(kw_only=True)
class Report:
    """What --json writes; `multiply_adds` is for one image and step, by bundle.

    `threads` None means the physical cores; `left_out` says what was not measured, and why.
    """

    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    machine: Mapping[str, Any] = field(default_factory=machine)
    versions: Mapping[str, str] = field(default_factory=lambda: versions(_PACKAGES))
    threads: int | None
    left_out: list[str]
    multiply_adds: Mapping[str, int] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    profiles: list[Profile] = field(default_factory=list)

    def heading(self) -> str:
        """Return the lines about the machine, the versions and the networks."""
        about = self.machine
        cores = f"{about['physical_cores'] or 'unknown'} cores, {about['logical_cores']} threads"
        asked = [] if self.threads is None else [f"{self.threads} asked for"]
        where = [about["processor"] or "unknown processor", cores, *asked, *about["gpus"]]
        packages = [f"{name} {version}" for name, version in self.versions.items()]
        lines = [where, [about["system"], f"Python {about['python']}", *packages]]
        lines += [
            [f"{name}: {count / 1e9:.3f} G multiply-adds for an image and step"]
            for name, count in self.multiply_adds.items()
        ]
        return "\n".join(map(", ".join, lines))


def write_json(target: Path, report: Report) -> None:
    """Write every figure, whole or not at all."""
    content = {
        "format_version": 1,
        **asdict(report),
        "peak_gigaflops": peak_gigaflops(report.rows),
    }
    with atomic(target) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
