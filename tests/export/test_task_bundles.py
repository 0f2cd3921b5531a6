"""Bundles of runs that enlarge pictures or fill in masks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_runs import train_here

from diffkiln.export import export_run
from diffkiln.runtime import Sampler

pytestmark = pytest.mark.slow

LEAST: dict[str, Any] = {"graphs": ("sampler",), "saved_model": False}


def exported(folder: Path, **settings: Any) -> Path:
    """A bundle of a run of two steps with these settings."""
    train_here(folder / "run", train_steps=2, **settings)
    export_run(folder / "run", folder / "bundle", **LEAST)
    return folder / "bundle"


def test_a_run_that_enlarges_takes_small_pictures_of_bytes(tmp_path: Path) -> None:
    bundle = exported(tmp_path, task="super_resolution", factor=4, prediction="image")
    small, level = json.loads((bundle / "bundle.json").read_text())["conditions"]
    assert (small["name"], small["dtype"], small["shape"]) == ("low_resolution", "uint8", [4, 4, 3])
    assert "null" not in small
    assert (level["name"], level["shape"], level["default"]) == ("augmentation", [], 0)
    manifest = json.loads((bundle / "bundle.json").read_text())
    inputs = [tensor["name"] for tensor in manifest["graphs"]["sampler"]["inputs"]]
    assert inputs == ["seeds", "steps", "low_resolution", "augmentation"]
    pictures = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), np.uint8)
    with Sampler(bundle) as sampler:
        drawn = sampler.sample(3, steps=2, conditions={"low_resolution": pictures})
        given = {"low_resolution": pictures, "augmentation": np.zeros(3)}
        same = sampler.sample(3, steps=2, conditions=given)
    assert drawn.shape == (3, 16, 16, 3)
    np.testing.assert_array_equal(drawn, same)


def test_what_a_mask_hides_changes_nothing(tmp_path: Path) -> None:
    bundle = exported(tmp_path, task="inpainting")
    mask = np.zeros((16, 16, 1), np.uint8)
    mask[4:9] = 1  # any number above 0 hides
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    hidden = np.where(mask > 0, 77, picture).astype(np.uint8)
    shown = np.where(mask > 0, picture, 77).astype(np.uint8)
    with Sampler(bundle) as sampler:
        first, second, other = (
            sampler.sample(1, steps=2, conditions={"masked_image": each, "paint_mask": mask})
            for each in (picture, hidden, shown)
        )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()
