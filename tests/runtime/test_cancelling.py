"""A call that nobody waits for any more ends, and computes no more."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from diffkiln.runtime import CancelledError, Sampler

# More work than any machine does while a test waits.
COUNT, STEPS = 512, 1000
NOISE = np.zeros((COUNT, 16, 16, 3), np.float32)
IMAGES = np.zeros((COUNT, 16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def sampler(full_bundle: Path) -> Sampler:
    return Sampler(full_bundle, device="cpu", max_batch=COUNT)


@pytest.mark.parametrize(
    "call",
    [
        lambda sampler, **more: sampler.sample(COUNT, **more),
        lambda sampler, **more: list(sampler.batches(COUNT, **more)),
        lambda sampler, **more: sampler.sample(8, progress=lambda *_: None, **more),
        lambda sampler, **more: sampler.trajectory(COUNT, **more),
        lambda sampler, **more: sampler.interpolate(0, 1, COUNT, **more),
        lambda sampler, **more: sampler.from_noise(NOISE, **more),
        lambda sampler, **more: sampler.encode(IMAGES, **more),
        lambda sampler, **more: sampler.reconstruct(IMAGES, **more),
        lambda sampler, **more: sampler.inpaint(IMAGES, IMAGES[0, :, :, 0], **more),
    ],
)
def test_an_event_ends_a_call(sampler: Sampler, call: Callable[..., object]) -> None:
    cancel, threads = threading.Event(), threading.active_count()
    (timer := threading.Timer(0.2, cancel.set)).start()
    with pytest.raises(CancelledError, match="sampling was cancelled"):
        call(sampler, steps=STEPS, cancel=cancel)
    timer.join()
    assert threading.active_count() == threads
    with pytest.raises(CancelledError):
        call(sampler, steps=1, cancel=cancel)


def test_an_event_that_is_not_set_changes_nothing(sampler: Sampler) -> None:
    images = sampler.sample(2, steps=2, cancel=threading.Event())
    assert np.array_equal(images, sampler.sample(2, steps=2))
    with pytest.raises(ValueError, match="cancel=True: expected a threading"):
        sampler.sample(2, cancel=True)  # pyright: ignore[reportArgumentType]


def test_asyncio_awaits_the_sample(sampler: Sampler) -> None:
    images = asyncio.run(sampler.sample_async(seeds=[3, 1], steps=2))
    assert np.array_equal(images, sampler.sample(seeds=[3, 1], steps=2))


def test_a_cancelled_task_ends_the_run(sampler: Sampler) -> None:
    async def draw() -> None:
        async with asyncio.timeout(0.2):
            await sampler.sample_async(COUNT, steps=STEPS)

    with pytest.raises(TimeoutError):
        asyncio.run(draw())  # which waits for all threads of its executor
