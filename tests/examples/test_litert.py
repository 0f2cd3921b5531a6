"""The example for LiteRT needs no diffkiln, and draws the Sampler's pictures in the oldest LiteRT.

`make hosts` has that in an environment of its own, which DIFFKILN_LITERT_PYTHON names.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from example_programs import EXAMPLES, start
from needed_programs import required_litert
from PIL import Image

from diffkiln.runtime import Sampler

pytestmark = pytest.mark.slow


def test_it_draws_the_pictures_of_the_sampler(saved_class_bundle: Path, tmp_path: Path) -> None:
    for name in ("bundle.json", "sampler.tflite"):  # which are all that it needs
        shutil.copy(saved_class_bundle / name, tmp_path)
    picture = tmp_path / "flowers.ppm"
    command = [required_litert(), EXAMPLES / "litert/sample.py", tmp_path / "sampler.tflite"]
    start([*command, picture])
    with Sampler(saved_class_bundle, device="cpu") as sampler:
        images = sampler.sample(8)
    # One level of 255: LiteRT adds in another order.
    assert np.abs(np.asarray(Image.open(picture)).astype(int) - np.hstack(list(images))).max() <= 1
