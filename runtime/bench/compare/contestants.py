"""The same sampling in several ways, turn by turn, relative to the baked sampler.

Each way has a process of its own and works only in its turn, so that its threads and its memory do
not slow the others.
"""

import contextlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from importlib import util
from types import MappingProxyType
from typing import Any, NamedTuple

from ...errors import DiffkilnError
from ..figures import median_ratio
from ..plan import Setting
from ..process import Process
from ..report import Result

# Where a variant's own name says too little.
_NAMES = {"loop": "baked Loop", "denoiser": "bare denoiser calls"}


class _Contestant(NamedTuple):
    """A way to sample: the module of its process, its job, and the packages that it needs."""

    name: str
    module: str
    job: Mapping[str, Any]
    packages: tuple[str, ...] = ()
    environment: Mapping[str, str] = MappingProxyType({})


def compare(
    settings: Sequence[Setting], *, threads: int | None, network: Mapping[str, Any], rounds: int
) -> tuple[list[Result], list[str]]:
    """Time all ways to do what the first setting does, `rounds` times in turns.

    `settings` are the baked samplers of one device, number of steps and batch size; `network` is
    what the process of that name answers. Returns the results, and a line with the reason for each
    way that is left out.
    """
    left_out = []
    with contextlib.ExitStack() as stack:
        processes: dict[str, Process] = {}
        for contestant in _contestants(settings, threads, network):
            missing = [package for package in contestant.packages if not util.find_spec(package)]
            if missing:
                remedy = f"{' and '.join(missing)}: run pip install {' '.join(missing)}"
                left_out.append(f"{contestant.name}: it needs {remedy}")
                continue
            try:
                process = Process(contestant.module, contestant.job, **contestant.environment)
            except DiffkilnError as error:
                if not processes:
                    raise
                left_out.append(f"{contestant.name}: {error}")
            else:
                processes[contestant.name] = stack.enter_context(process)
        times: dict[str, list[float]] = {name: [] for name in processes}
        for number in range(rounds):
            # Forwards and backwards: no contestant always follows the same one.
            for name in list(processes)[:: 1 if number % 2 == 0 else -1]:
                times[name].append(processes[name].turn()["ms"])
    base, wanted = next(iter(times.values())), network["multiply_adds"]
    answers = {name: process.ready for name, process in processes.items()}
    return [_result(name, answers[name], times[name], base, wanted) for name in answers], left_out


def _result(
    name: str, answer: Mapping[str, Any], times: list[float], base: list[float], wanted: int
) -> Result:
    own = answer.get("multiply_adds", wanted)
    return Result(
        name=name,
        ratio=median_ratio(times, base) * wanted / own,
        p50_ms=statistics.median(times),
        latencies_ms=tuple(times),
        multiply_adds=own,
        versions=answer.get("versions", {}),
        note=answer.get("note", ""),
    )


def _contestants(
    settings: Sequence[Setting], threads: int | None, network: Mapping[str, Any]
) -> Iterator[_Contestant]:
    """Yield all ways to do what the first setting does, that setting first."""
    first = settings[0]
    # What runs the first stage's network alone does less than a cascade.
    alone = first.bundle.factor == 1
    job = first.job(threads, compare=False)
    for setting in settings:
        name = _NAMES.get(setting.variant, setting.variant)
        same = [other for other in settings if other.variant == setting.variant]
        label = name if len(same) == 1 else f"{name}, {setting.name}"
        yield _Contestant(label, "sampling", setting.job(threads, compare=False))
    for variant in ("stepwise", "denoiser") if alone else ("stepwise",):
        yield _Contestant(_NAMES.get(variant, variant), "sampling", {**job, "variant": variant})
    # Otherwise TensorFlow would use a GPU in a comparison on the CPU, and print a greeting.
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    hidden = {"CUDA_VISIBLE_DEVICES": "-1"} if first.device == "cpu" else {}
    name, packages = "SavedModel in TensorFlow", ("tensorflow",)
    yield _Contestant(name, "compare.tensorflow", job, packages, quiet | hidden)
    yield _Contestant("LiteRT", "compare.litert", job, ("ai_edge_litert",))
    if not alone:
        return
    yield _Contestant("OpenVINO, denoiser calls", "compare.openvino", job, ("openvino",))
    name, packages = "diffusers, per multiply-add", ("torch", "diffusers")
    yield _Contestant(name, "compare.diffusers", {**job, "network": dict(network)}, packages)
