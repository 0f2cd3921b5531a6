"""The process that measures one setting: how a bundle samples one batch on one device.

Each turn times the sampling and what it is compared with: the network alone, and the machine's
largest matrix product. All tasks of a turn share the state of a busy machine.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..device.device import PROVIDERS
from ..device.resources import peak_bytes
from ..engine.conditions import examples
from .feeds import denoiser_feeds, further_feeds
from .peak import matrix_product
from .protocol import Answer, Job, Turn, milliseconds

if TYPE_CHECKING:
    from ..sampler import Sampler

# The graphs of each way to sample.
VARIANTS: Mapping[str, tuple[str, ...]] = {
    "loop": ("sampler",),
    "unrolled": ("sampler",),
    "stepwise": ("noise", "step"),
    "denoiser": ("denoiser",),
}


def prepare(job: Job) -> tuple[Answer, Turn]:
    """Sample twice, first cold and then to warm up; the turn samples again.

    The job's `bundle`, `device`, `threads` and `batch` are as for Sampler, `variant` is a key of
    VARIANTS, `steps` are the denoising steps. `compare` asks for the bare network calls and the
    matrix product in each turn; `started` is the start of this process by perf_counter.
    """
    from ..sampler import Sampler

    imported = time.perf_counter()
    settings = {"device": job["device"], "threads": job["threads"], "max_batch": job["batch"]}
    sampler = Sampler(job["bundle"], **settings)
    sampler.load(*VARIANTS[job["variant"]])
    loaded = time.perf_counter()
    task = _task(sampler, job)
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
    tasks = {"ms": task}
    if job["compare"]:
        tasks["product_ms"] = matrix_product(sampler.device, job["threads"])
        if job["variant"] != "denoiser" and "denoiser" in sampler.bundle.graphs:
            tasks["denoiser_ms"] = _task(sampler, {**job, "variant": "denoiser"})
        for other in list(tasks.values())[1:]:
            other()
    return about, lambda: {name: milliseconds(task) for name, task in tasks.items()}


def _task(sampler: "Sampler", job: Job) -> Callable[[], object]:
    """Return the sampling, or for "denoiser" a call for each step with nothing in between.

    What follows the last step, a decoder or a second stage, is called once after these.
    """
    batch, steps = job["batch"], job["steps"]
    # One evaluation in each step, as a model without guidance makes.
    guidance = 1.0 if sampler.bundle.is_guided else None
    given: Any = {"guidance": guidance, "conditions": examples(sampler.bundle, batch)}
    if job["variant"] == "stepwise":
        return lambda: deque(sampler.stepwise(batch, steps=steps, **given), maxlen=0)
    if job["variant"] == "denoiser":
        feeds = denoiser_feeds(sampler.bundle, batch)
        # Sampler.run would check its inputs each time.
        calls = [(sampler._engine.session("denoiser"), feeds)] * steps
        if further := further_feeds(sampler.bundle, batch):
            calls.append((sampler._engine.session(further[0]), further[1]))
        return lambda: deque((session.run(given) for session, given in calls), maxlen=0)
    return lambda: sampler.sample(batch, steps=steps, **given)
