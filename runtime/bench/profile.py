"""The process that measures where the time of a sampling goes, operator by operator."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .protocol import Answer, Job, Turn, serve

if TYPE_CHECKING:
    from .recording import Node

RUNS = 5


@dataclass(frozen=True)
class OperatorTime:
    """All executions of one operator on one provider in one sampling; `share` is of all time."""

    operator: str
    provider: str
    calls: int
    ms: float
    share: float


def prepare(job: Job) -> tuple[Answer, Turn]:
    """Answer with the operators of the baked sampler, the Loop's body included.

    The job's `bundle`, `device`, `threads`, `batch` and `steps` are as for Sampler.
    """
    from ..bundle.bundle import open_bundle
    from .feeds import sampler_feeds
    from .recording import recorded

    bundle = open_bundle(job["bundle"])
    feeds = sampler_feeds(bundle, job["batch"], job["steps"])
    graph = bundle.graph("sampler")
    nodes = recorded(graph, feeds, device=job["device"], threads=job["threads"], runs=RUNS)
    return {"operators": [vars(entry) for entry in operator_times(nodes)]}, dict


def operator_times(nodes: "Iterable[Node]") -> list[OperatorTime]:
    """Add up the nodes by operator and provider, the longest time first."""
    times_us: dict[tuple[str, str], list[int]] = defaultdict(list)
    for node in nodes:
        times_us[node.operator, node.provider].append(node.time_us)
    total_us = sum(map(sum, times_us.values())) or 1
    entries = [
        OperatorTime(*key, len(times), sum(times) / 1e3, sum(times) / total_us)
        for key, times in times_us.items()
    ]
    return sorted(entries, key=lambda entry: -entry.ms)


if __name__ == "__main__":
    serve(prepare)
