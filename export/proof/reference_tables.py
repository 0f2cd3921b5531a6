"""What a learned table says of its steps, once more, from the manifest's own numbers."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class ReferenceStep(NamedTuple):
    """The numbers t, u, a, b and c of a step."""

    time: float
    network_time: float
    second_order: float
    third_order: float
    guidance_factor: float


def reference_steps(
    tables: Mapping[str, Any] | None, steps: int, guidance: float | None
) -> list[ReferenceStep]:
    """The steps of a count under a guidance; none where the tables say nothing of these."""
    if tables is None or str(steps) not in tables["by_steps"]:
        return []
    if guidance is not None and not tables["guidance"][0] <= guidance <= tables["guidance"][1]:
        return []
    table = tables["by_steps"][str(steps)]
    names = ("times", "network_times", "second_order", "third_order", "guidance_factors")
    return list(map(ReferenceStep, *(table[name] for name in names)))
