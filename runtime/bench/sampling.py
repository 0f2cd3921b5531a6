"""The process that measures one setting: how a bundle samples one batch on one device.

Each turn times the sampling, and beside it what it is compared with: the network alone, and the
machine's largest matrix product. What shares a turn shares the state of a busy machine.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..device.device import PROVIDERS
from ..device.memory import peak_bytes
from .plan import VARIANTS
from .protocol import Answer, Job, Turn, milliseconds, serve

if TYPE_CHECKING:
    from ..sampler import Sampler

Task = Callable[[], object]


def prepare(job: Job) -> tuple[Answer, Turn]:
    """Sample twice, from cold and to warm up; the turn samples again.

    The job's `bundle`, `device`, `threads` and `batch` are as for Sampler, `variant` is a key of
    VARIANTS, `steps` are the denoising steps; `compare` asks for the bare network calls and the
    matrix product in each turn, `started` is when this process was started, by perf_counter.
    """
    from ..sampler import Sampler

    imported = time.perf_counter()
    sampler = Sampler(
        job["bundle"], device=job["device"], threads=job["threads"], max_batch=job["batch"]
    )
    sampler.load(*VARIANTS[job["variant"]])
    loaded = time.perf_counter()
    task = TASKS[job["variant"]](sampler, job["batch"], job["steps"])
    task()
    done = time.perf_counter()
    task()
    about = {
        "device": sampler.device,
        "provider": PROVIDERS[sampler.device],
        "import_ms": 1e3 * (imported - job["started"]),
        "load_ms": 1e3 * (loaded - imported),
        "first_call_ms": 1e3 * (done - loaded),
        # Before anything is loaded to compare with.
        "peak_bytes": peak_bytes(),
    }
    tasks = {"ms": task, **(_compared_with(sampler, job) if job["compare"] else {})}
    return about, lambda: {name: milliseconds(task) for name, task in tasks.items()}


def _compared_with(sampler: "Sampler", job: Job) -> dict[str, Task]:
    from .peak import matrix_product

    tasks: dict[str, Task] = {"product_ms": matrix_product(sampler.device, job["threads"])}
    if job["variant"] != "denoiser" and "denoiser" in sampler.bundle.graphs:
        tasks["denoiser_ms"] = _denoiser(sampler, job["batch"], job["steps"])
    for task in tasks.values():
        task()
    return tasks


def _baked(sampler: "Sampler", batch: int, steps: int) -> Task:
    return lambda: sampler.sample(batch, steps=steps, guidance=_guidance(sampler))


def _guidance(sampler: "Sampler") -> float | None:
    """Ask for one evaluation in each step, as of a model without classes."""
    return 1.0 if sampler.bundle.class_names else None


def _stepwise(sampler: "Sampler", batch: int, steps: int) -> Task:
    def task() -> None:
        for _ in sampler.stepwise(batch, steps=steps, guidance=_guidance(sampler)):
            pass

    return task


def _denoiser(sampler: "Sampler", batch: int, steps: int) -> Task:
    """Call denoiser.onnx as often as there are steps, with no step in between."""
    import numpy as np

    from ..engine.conditioning import unguided

    shape = (batch, *sampler.bundle.image_shape)
    noisy = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    feeds = {"noisy": noisy, "time": np.full(batch, 0.5, np.float32)}
    feeds |= unguided(sampler.bundle, batch)

    def task() -> None:
        for _ in range(steps):
            sampler.run("denoiser", feeds)

    return task


TASKS = {"loop": _baked, "unrolled": _baked, "stepwise": _stepwise, "denoiser": _denoiser}


if __name__ == "__main__":
    serve(prepare)
