"""The batch grows while that pays and memory allows it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from diffkiln.runtime import Sampler
from diffkiln.runtime.engine import batching
from diffkiln.runtime.engine.batching import LAST, TOGETHER, BatchSize

GIB = 2**30


def settled(sizes: BatchSize, batch_seconds: Callable[[int], float]) -> list[int]:
    """Return the sizes of 40 batches that take `batch_seconds`."""
    tried = []
    for _ in range(40):
        tried.append(sizes.next(10_000))
        sizes.took(tried[-1], batch_seconds(tried[-1]))
    return tried


def test_it_grows_to_the_largest_where_that_pays() -> None:
    tried = settled(BatchSize("cpu"), lambda size: 1.0 + 0.1 * size)
    assert tried[:8] == [4, 4, 8, 8, 16, 16, 32, 32]
    assert tried[-1] == LAST["cpu"]


def test_it_goes_back_where_it_does_not_pay() -> None:
    # Beyond 16 images a cache is too small.
    tried = settled(BatchSize("cpu"), lambda size: 1.0 + size * (0.1 if size <= 16 else 0.5))
    assert set(tried[8:]) == {16}
    assert max(tried) == 32


def test_what_a_first_run_costs_does_not_count() -> None:
    seen: set[int] = set()

    def seconds(size: int) -> float:
        first = size not in seen
        seen.add(size)
        return 100.0 if first else 1.0

    assert settled(BatchSize("cuda"), seconds)[-1] == LAST["cuda"]


def test_memory_ends_the_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = iter([GIB, 2 * GIB, 4 * GIB])
    monkeypatch.setattr(batching, "peak_bytes", lambda: next(peaks))
    monkeypatch.setattr(batching, "available_bytes", lambda: 5 * GIB)
    assert max(settled(BatchSize("cpu"), lambda _: 1.0)) == 8


def test_a_size_that_was_asked_for_stays() -> None:
    sizes = BatchSize("cpu", 3)
    assert set(settled(sizes, lambda size: 1 / size)) == {3}
    assert not sizes.too_large(3)


def test_half_of_what_was_too_large() -> None:
    sizes = BatchSize("cuda")
    assert sizes.too_large(16)
    assert set(settled(sizes, lambda _: 1.0)) == {8}
    assert not BatchSize("cpu").too_large(1)


def test_a_few_images_are_computed_together() -> None:
    assert BatchSize("cpu").next(TOGETHER) == TOGETHER
    assert BatchSize("cpu").next(TOGETHER + 1) < TOGETHER


def test_many_images_by_measuring(tiny_bundle: Path) -> None:
    with Sampler(tiny_bundle, device="cpu") as sampler:
        batches = list(sampler.batches(70, steps=1))
        assert [len(batch) for batch in batches[:4]] == [4, 4, 8, 8]
        assert np.array_equal(np.concatenate(batches), sampler.sample(70, steps=1))
