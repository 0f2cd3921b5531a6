"""The same sampling in several ways, turn by turn, relative to the baked sampler.

Each way has a process of its own and works only in its turn, so that its threads and its memory do
not slow the others.
"""

import contextlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import util
from typing import Any

from ...errors import DiffkilnError, LibraryError
from ..figures import median_ratio
from ..plan import Setting
from ..process import Process
from ..report import Result

_NAMES = {
    "loop": "baked Loop",
    "unrolled": "unrolled",
    "stepwise": "stepwise",
    "denoiser": "bare denoiser calls",
}


@dataclass(frozen=True)
class Contestant:
    """A way to sample: the module of its process, its job, and the packages that it needs."""

    name: str
    module: str
    job: Mapping[str, Any]
    packages: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def contestants(
    settings: Sequence[Setting], *, threads: int | None, network: Mapping[str, Any]
) -> Iterator[Contestant]:
    """Yield all ways to do what the first setting does, that setting first.

    `settings` are the baked samplers of one device, number of steps and batch size.
    """
    first = settings[0]
    job = first.job(threads, compare=False)
    for setting in settings:
        name = _NAMES[setting.variant]
        same = [other for other in settings if other.variant == setting.variant]
        label = name if len(same) == 1 else f"{name}, {setting.name}"
        yield Contestant(label, "sampling", setting.job(threads, compare=False))
    for variant in ("stepwise", "denoiser"):
        yield Contestant(_NAMES[variant], "sampling", {**job, "variant": variant})
    # Otherwise TensorFlow would use a GPU in a comparison on the CPU, and print a greeting.
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    hidden = {"CUDA_VISIBLE_DEVICES": "-1"} if first.device == "cpu" else {}
    yield Contestant(
        "SavedModel in TensorFlow", "compare.tensorflow", job, ("tensorflow",), quiet | hidden
    )
    yield Contestant("OpenVINO, denoiser calls", "compare.openvino", job, ("openvino",))
    yield Contestant(
        "diffusers, per multiply-add",
        "compare.diffusers",
        {**job, "network": dict(network)},
        ("torch", "diffusers"),
    )


def compare(
    contestants: Sequence[Contestant], *, rounds: int, multiply_adds: int
) -> tuple[list[Result], list[str]]:
    """Time the contestants `rounds` times, in turns.

    Returns the results, and a line with the reason for each contestant that is left out. The
    bundle's network has `multiply_adds` for one image.
    """
    left_out = []
    with contextlib.ExitStack() as stack:
        processes: dict[str, Process] = {}
        for contestant in contestants:
            try:
                _require(contestant)
                process = Process(contestant.module, contestant.job, **contestant.environment)
            except DiffkilnError as error:
                if not processes:
                    raise
                left_out.append(f"{contestant.name}: {error}")
            else:
                processes[contestant.name] = stack.enter_context(process)
        times = _interleaved_ms(processes, rounds)
        base = next(iter(times.values()))
        results = [
            _result(name, process.ready, times[name], base, multiply_adds)
            for name, process in processes.items()
        ]
        return results, left_out


def _require(contestant: Contestant) -> None:
    missing = [package for package in contestant.packages if util.find_spec(package) is None]
    if missing:
        raise LibraryError(f"it needs {' and '.join(missing)}: run pip install {' '.join(missing)}")


def _interleaved_ms(processes: Mapping[str, Process], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in processes}
    for number in range(rounds):
        # Forwards and backwards: no contestant always follows the same one.
        for name in list(processes)[:: 1 if number % 2 == 0 else -1]:
            times[name].append(processes[name].turn()["ms"])
    return times


def _result(
    name: str,
    ready: Mapping[str, Any],
    times: Sequence[float],
    base: Sequence[float],
    multiply_adds: int,
) -> Result:
    own = ready.get("multiply_adds", multiply_adds)
    return Result(
        name=name,
        ratio=median_ratio(times, base) * multiply_adds / own,
        p50_ms=statistics.median(times),
        latencies_ms=tuple(times),
        multiply_adds=own,
        versions=ready.get("versions", {}),
        note=ready.get("note", ""),
    )
