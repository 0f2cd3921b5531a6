"""What a caller gives to a graph itself is checked before onnxruntime sees it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffkiln.runtime import BundleError, Sampler, open_bundle
from diffkiln.runtime.engine.feeds import checked_feeds

FEEDS: dict[str, Any] = {
    "step": np.array(0),
    "steps": np.array(5),
    "noisy": np.zeros((2, 16, 16, 3), np.float32),
    "previous_image": np.zeros((2, 16, 16, 3), np.float32),
    "earlier_image": np.zeros((2, 16, 16, 3), np.float32),
    "labels": np.array([-1, 0]),
    "guidance": np.array(2, np.float32),
}


def test_feeds_that_fit_are_run(learned_bundle: Path, class_bundle: Path) -> None:
    sampler = Sampler(learned_bundle, device="cpu")
    assert len(sampler.run("step", FEEDS)) == 4
    assert len(sampler.run("noise", {"seeds": np.array([2**63 - 1])})) == 1
    feeds = {"seeds": [4], "steps": 2, "labels": [1], "guidance": np.float32(0)}
    expected = Sampler(class_bundle, device="cpu").sample(
        1, seed=4, steps=2, labels=1, guidance=0.0
    )
    assert np.array_equal(Sampler(class_bundle, device="cpu").run("sampler", feeds)[0], expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": np.array([1])}, r"feeds: received step, .*, seeds, expected step, .* of 'step'"),
        ({"steps": np.array(5, np.int32)}, "steps of dtype int32: expected int64"),
        ({"noisy": np.zeros((2, 16, 16, 3))}, "noisy of dtype float64: expected float32"),
        ({"noisy": np.zeros((2, 8, 16, 3), np.float32)}, r"\[2, 8, 16, 3\]: expected \[N, 16, "),
        ({"noisy": np.zeros((16, 16, 3), np.float32)}, r"noisy of shape \[16, 16, 3\]: expected"),
        ({"noisy": np.full((2, 16, 16, 3), np.nan, np.float32)}, "nan: expected finite numbers"),
        ({"labels": np.array([1])}, r"labels of shape \[1\]: expected \[2\]"),
        ({"labels": np.array([0, 99])}, "labels from 0 to 99: expected numbers from -1 to "),
        ({"steps": np.array(0)}, "steps=0: expected a whole number from 1 to"),
        ({"steps": np.array([5])}, r"steps of shape \[1\]: expected \[\]"),
        ({"step": np.array(5)}, "step from 5 to 5: expected numbers from 0 to 4"),
        ({"guidance": np.array(np.inf, np.float32)}, "guidance from inf to inf: expected numbers"),
    ],
)
def test_feeds_that_do_not_fit_are_named(learned_bundle: Path, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_feeds(open_bundle(learned_bundle), "step", FEEDS | change)


def test_feeds_that_the_graph_does_not_get(full_bundle: Path) -> None:
    bundle = open_bundle(full_bundle)
    with pytest.raises(ValueError, match="feeds: received nothing, expected seeds of 'noise'"):
        checked_feeds(bundle, "noise", {})
    for seeds, message in (([-1], "seeds from -1"), (np.zeros(0, np.int64), "seeds of 0 rows")):
        with pytest.raises(ValueError, match=message):
            checked_feeds(bundle, "noise", {"seeds": seeds})
    with pytest.raises(BundleError, match="holds no graph 'nose'"):
        checked_feeds(bundle, "nose", {})
