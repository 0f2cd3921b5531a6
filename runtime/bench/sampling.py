"""The process that measures one setting: how a bundle samples one batch on one device.

Each turn times the sampling and what it is compared with: the network alone, and the machine's
largest matrix product. All tasks of a turn share the state of a busy machine.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from ..device.device import PROVIDERS
from ..device.resources import peak_bytes
from .protocol import Answer, Job, Turn, milliseconds

if TYPE_CHECKING:
    from ..sampler import Sampler

Task = Callable[[], object]


def prepare(job: Job) -> tuple[Answer, Turn]:
    """Sample twice, first cold and then to warm up; the turn samples again.

    The job's `bundle`, `device`, `threads` and `batch` are as for Sampler, `variant` is a key of
    VARIANTS, `steps` are the denoising steps. `compare` asks for the bare network calls and the
    matrix product in each turn; `started` is the start of this process by perf_counter.
    """
    from ..sampler import Sampler

    imported = time.perf_counter()
    sampler = Sampler(
        job["bundle"], device=job["device"], threads=job["threads"], max_batch=job["batch"]
    )
    variant = VARIANTS[job["variant"]]
    sampler.load(*variant.graphs)
    loaded = time.perf_counter()
    task = variant.task(sampler, job["batch"], job["steps"])
    task()
    done = time.perf_counter()
    task()
    about = {
        "device": sampler.device,
        "provider": PROVIDERS[sampler.device],
        "import_ms": 1e3 * (imported - job["started"]),
        "load_ms": 1e3 * (loaded - imported),
        "first_call_ms": 1e3 * (done - loaded),
        # Before the process loads anything for comparison.
        "peak_bytes": peak_bytes(),
    }
    tasks = {"ms": task, **(_comparisons(sampler, job) if job["compare"] else {})}
    return about, lambda: {name: milliseconds(task) for name, task in tasks.items()}


def _comparisons(sampler: "Sampler", job: Job) -> dict[str, Task]:
    from .peak import matrix_product

    tasks: dict[str, Task] = {"product_ms": matrix_product(sampler.device, job["threads"])}
    if job["variant"] != "denoiser" and "denoiser" in sampler.bundle.graphs:
        tasks["denoiser_ms"] = _denoiser(sampler, job["batch"], job["steps"])
    for task in tasks.values():
        task()
    return tasks


def _guidance(sampler: "Sampler") -> float | None:
    """Ask for one evaluation in each step, as a model without classes makes."""
    return 1.0 if sampler.bundle.class_names else None


def _baked(sampler: "Sampler", batch: int, steps: int) -> Task:
    return lambda: sampler.sample(batch, steps=steps, guidance=_guidance(sampler))


def _stepwise(sampler: "Sampler", batch: int, steps: int) -> Task:
    guidance = _guidance(sampler)
    return lambda: deque(sampler.stepwise(batch, steps=steps, guidance=guidance), maxlen=0)


def _denoiser(sampler: "Sampler", batch: int, steps: int) -> Task:
    """Call denoiser.onnx once for each step, with nothing in between."""
    from .feeds import denoiser_feeds

    feeds = denoiser_feeds(sampler.bundle, batch)

    def task() -> None:
        for _ in range(steps):
            sampler.run("denoiser", feeds)

    return task


class Variant(NamedTuple):
    """A way to sample: its graphs, and a function that makes the task from batch and steps."""

    graphs: tuple[str, ...]
    task: Callable[["Sampler", int, int], Task]


VARIANTS: Mapping[str, Variant] = {
    "loop": Variant(("sampler",), _baked),
    "unrolled": Variant(("sampler",), _baked),
    "stepwise": Variant(("noise", "step"), _stepwise),
    "denoiser": Variant(("denoiser",), _denoiser),
}
