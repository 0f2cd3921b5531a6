"""Inpainting by networks that are told the photograph and the mask."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import run_sample
from pictures import synthetic_flowers
from PIL import Image

from diffkiln.runtime import Sampler, open_bundle
from diffkiln.runtime.bundle.tasks import is_trained_to_paint

FLOWERS = synthetic_flowers(3, image_size=8, seed=5)
MASK = np.zeros((3, 8, 8, 1), np.uint8)
MASK[0, 2:6, 1:4] = MASK[1, :3] = MASK[2, 4:, 4:] = 1


@pytest.fixture(scope="module", params=["inpaint", "sampler"])
def bundle(request: pytest.FixtureRequest, painting_bundle: Path, tmp_path_factory: Any) -> Path:
    """With the graph inpaint, and without."""
    if request.param == "inpaint":
        return painting_bundle
    path = shutil.copytree(painting_bundle, tmp_path_factory.mktemp("painting") / "bundle")
    manifest = json.loads((path / "bundle.json").read_text())
    del manifest["graphs"]["inpaint"], manifest["files"]["inpaint.onnx"]
    (path / "bundle.json").write_text(json.dumps(manifest))
    return path


def test_the_network_is_told_photograph_and_mask(bundle: Path) -> None:
    with Sampler(bundle, device="cpu") as sampler:
        painted = sampler.inpaint(FLOWERS, MASK, seed=4, steps=3)
        kept = MASK[..., 0] == 0
        np.testing.assert_array_equal(painted[kept], FLOWERS[kept])
        assert (painted[~kept] != FLOWERS[~kept]).any()
        given: dict[str, Any] = {"masked_image": FLOWERS, "paint_mask": 255 * MASK}
        if "inpaint" not in sampler.bundle.graphs:
            drawn = sampler.sample(3, seed=4, steps=3, conditions=given)
            np.testing.assert_array_equal(painted[~kept], drawn[~kept])
        # What is under the mask does not matter, but what surrounds it does.
        under, around = (np.where(hole, 255 - FLOWERS, FLOWERS) for hole in (MASK, 1 - MASK))
        np.testing.assert_array_equal(sampler.inpaint(under, 9 * MASK, seed=4, steps=3), painted)
        assert (sampler.inpaint(around, MASK, seed=4, steps=3)[~kept] != painted[~kept]).any()


def test_what_is_made_cannot_be_given(bundle: Path) -> None:
    message = "'paint_mask' is made from images and mask; leave it out"
    with Sampler(bundle, device="cpu") as sampler, pytest.raises(ValueError, match=message):
        sampler.inpaint(FLOWERS, MASK, conditions={"paint_mask": MASK})


@pytest.mark.parametrize("changes", [{"shape": (8, 8, 3)}, {"dtype": "float32"}, {"name": "mask_"}])
def test_other_conditions_are_for_the_caller(painting_bundle: Path, changes: Any) -> None:
    bundle = open_bundle(painting_bundle)
    assert is_trained_to_paint(bundle)
    photo, mask = bundle.conditions
    assert not is_trained_to_paint(bundle._replace(conditions=(photo, mask._replace(**changes))))


def test_the_command_paints_too(bundle: Path, tmp_path: Path) -> None:
    photo, mask, out = (tmp_path / name for name in ("photo.png", "mask.png", "a.npz"))
    Image.fromarray(FLOWERS[0]).save(photo)
    Image.fromarray(255 * MASK[0, ..., 0]).save(mask)
    flags = (f"--bundle={bundle}", "--device=cpu", "--steps=2", f"--out={out}")
    flags = (*flags, f"--inpaint={photo}", f"--mask={mask}", "--seeds=8,3")
    done = run_sample(*flags)
    assert done.returncode == 0, done.stderr
    with np.load(out) as saved, Sampler(bundle, device="cpu") as sampler:
        twice = FLOWERS[[0, 0]]
        expected = sampler.inpaint(twice, MASK[[0, 0]], seeds=[8, 3], steps=2)
        np.testing.assert_array_equal(saved["images"], expected)
    refused = run_sample(*flags, "--condition=paint_mask=5")
    assert refused.returncode == 2
    assert "--condition=paint_mask=5: is made from other flags; leave it out" in refused.stderr
