"""What onnxruntime's profiler records of a run: each operator, its time and its shapes.

As a process it answers where the time of a sampling goes, operator by operator.
"""

import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..bundle.bundle import Graph, open_bundle
from .feeds import sampler_feeds
from .protocol import Answer, Job, Turn

# Operators that have graphs of their own, whose operators are recorded within their time.
CONTAINERS = ("Loop", "If", "Scan")

RUNS = 5


@dataclass(frozen=True)
class Node:
    """One execution of an operator: its time without operators inside it, and its shapes."""

    operator: str
    provider: str
    time_us: int
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class OperatorTime:
    """All executions of one operator on one provider in one sampling; `share` is of all time."""

    operator: str
    provider: str
    calls: int
    ms: float
    share: float


def prepare(job: Job) -> tuple[Answer, Turn]:
    """Answer with the operators of the baked sampler and its Loop's body, the longest time first.

    The job's `bundle`, `device`, `threads`, `batch` and `steps` are as for Sampler.
    """
    bundle = open_bundle(job["bundle"])
    feeds = sampler_feeds(bundle, job["batch"], job["steps"])
    graph = bundle.graph("sampler")
    nodes = recorded(graph, feeds, device=job["device"], threads=job["threads"], runs=RUNS)
    times_us: dict[tuple[str, str], list[int]] = defaultdict(list)
    for node in nodes:
        times_us[node.operator, node.provider].append(node.time_us)
    total_us = sum(map(sum, times_us.values())) or 1
    entries = [
        OperatorTime(*key, len(times), sum(times) / 1e3, sum(times) / total_us)
        for key, times in times_us.items()
    ]
    return {"operators": [vars(entry) for entry in sorted(entries, key=lambda it: -it.ms)]}, dict


def recorded(
    graph: Graph,
    feeds: Mapping[str, np.ndarray],
    *,
    device: str = "cpu",
    threads: int | None = None,
    runs: int = 1,
    as_written: bool = False,
) -> list[Node]:
    """Run a graph once to warm up and `runs` times more; return the nodes of the quickest run.

    With `as_written` onnxruntime neither fuses operators nor pads their shapes, and it keeps
    constant weights as they are, since it records no shape of those that it packs.
    """
    from ..engine.session import onnxruntime, open_session, session_options

    options = session_options(threads)
    options.enable_profiling = True
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.disable_prepacking", "1")
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = f"{folder}/profile"
        session = open_session(graph.content(), options, device)
        for _ in range(1 + runs):
            session.run(None, dict(feeds))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return _nodes(events)


def _nodes(events: Sequence[Mapping[str, Any]]) -> list[Node]:
    _, *runs = (event for event in events if event["name"] == "model_run")
    # Other work on the machine only makes a run longer.
    run = min(runs, key=lambda event: event["dur"])
    chosen = [
        event
        for event in events
        if event["cat"] == "Node"
        and "op_name" in event["args"]
        and run["ts"] <= event["ts"] < _end(run)
    ]
    chosen.sort(key=lambda event: (event["ts"], -event["dur"]))
    nodes = []
    for about, own_us in zip((event["args"] for event in chosen), _own_times(chosen), strict=True):
        shapes = (_shapes(about.get(f"{side}_type_shape", ())) for side in ("input", "output"))
        nodes.append(Node(about["op_name"], about.get("provider", ""), own_us, *shapes))
    return nodes


def _own_times(events: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the µs of each event without the events inside it, which come after it."""
    own = [event["dur"] for event in events]
    around: list[int] = []
    for index, event in enumerate(events):
        while around and event["ts"] >= _end(events[around[-1]]):
            around.pop()
        if around:
            own[around[-1]] -= event["dur"]
        if event["args"]["op_name"] in CONTAINERS:
            around.append(index)
    return own


def _end(event: Mapping[str, Any]) -> int:
    return event["ts"] + event["dur"]


def _shapes(entries: Sequence[Mapping[str, Sequence[int]]]) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of entries like {"float": [1, 3, 8, 8]}."""
    return tuple(tuple(shape) for entry in entries for shape in entry.values())
