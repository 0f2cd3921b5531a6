"""The oldest onnxruntime that is known to draw a bundle's pictures, without diffkiln.

DIFFKILN_OLDEST_PYTHON names a Python that has it, with Pillow; `make hosts` installs one.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from conftest import GOLDEN
from example_programs import EXAMPLES, start
from PIL import Image

from diffkiln.runtime import Sampler

OLDEST = os.environ.get("DIFFKILN_OLDEST_PYTHON")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(OLDEST is None, reason="set DIFFKILN_OLDEST_PYTHON, as `make hosts` does"),
]


def test_it_loads_every_graph(full_bundle: Path) -> None:
    files = sorted(full_bundle.parent.glob("*.bundle/*.onnx"))
    load = "import sys, onnxruntime; [*map(onnxruntime.InferenceSession, sys.argv[1:])]"
    start([OLDEST, "-c", load, *files])


@pytest.mark.parametrize("name", ["full", "classes", "learned", "latents", "cascade"])
def test_it_draws_the_same(name: str, tmp_path: Path) -> None:
    path, picture = GOLDEN / f"{name}.bundle", tmp_path / "flowers.png"
    start([OLDEST, EXAMPLES / "onnxruntime/sample.py", path / "sampler.onnx", picture])
    with Sampler(path, device="cpu") as sampler:
        images = sampler.sample(8)
    # One level of 255: its kernels may add in another order.
    assert np.abs(np.asarray(Image.open(picture)).astype(int) - np.hstack(list(images))).max() <= 1
