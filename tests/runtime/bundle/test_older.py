"""A bundle of an earlier diffkiln, whose graphs were made in other ways, opens as it always did."""

from pathlib import Path

import numpy as np

from diffkiln.runtime import Sampler


def test_a_seed_keeps_its_picture(fresh_bundle: Path) -> None:
    older = fresh_bundle.with_name("older.bundle")  # of the same network
    with Sampler(older, device="cpu") as before, Sampler(fresh_bundle, device="cpu") as now:
        np.testing.assert_array_equal(before.sample(3, steps=4), now.sample(3, steps=4))
        then, stepped = (
            sampler.sample(3, steps=4, progress=lambda *_: None) for sampler in (before, now)
        )
    np.testing.assert_array_equal(then, stepped)
