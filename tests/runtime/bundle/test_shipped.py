"""The bundle that comes with diffkiln."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from PIL import Image

from diffkiln.runtime import Sampler
from diffkiln.runtime.bundle.bundle import open_bundle, shipped_bundle
from diffkiln.runtime.output.images import GAP
from diffkiln.trainer.data.tfds import tfds_images
from diffkiln.trainer.presets import preset_config
from diffkiln.trainer.quality.features import extractor
from diffkiln.trainer.quality.kid import kid
from diffkiln.trainer.run.directory import RunDirectory
from diffkiln.trainer.run.weights import load_network

MODELS = Path(__file__).parents[3] / "models"


def test_it_is_small_and_says_how_it_was_trained() -> None:
    files = [path for path in shipped_bundle().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12e6
    manifest = json.loads((shipped_bundle() / "bundle.json").read_text())
    training = manifest["training"]
    assert training["settings"]["data"] == "seeds"
    assert training["step"] > 0
    teachers = [run for run in training["earlier"] if run["settings"]["data"] != "seeds"]
    teacher = teachers[-1]["settings"]
    assert teacher["data"] == "tfds:oxford_flowers102"
    assert (teacher["split"], teacher["eval_split"]) == ("train+test", "validation")
    preset = preset_config("flowers64")
    for name in ("widths", "blocks", "patch_size"):
        assert tuple(np.ravel(teacher[name])) == tuple(np.ravel(getattr(preset, name)))


def test_four_evaluations_draw_a_flower_at_any_guidance() -> None:
    bundle = open_bundle(shipped_bundle())
    assert bundle.takes_guidance
    assert (bundle.default_steps, bundle.default_guidance, bundle.guidance_range) == (4, 2, (1, 3))


@pytest.mark.slow
def test_another_run_can_begin_with_its_weights(tmp_path: Path) -> None:
    config, summary = RunDirectory(MODELS / "flowers64-student").read_config()
    weights = tmp_path / "ema.weights.h5"
    subprocess.run([sys.executable, MODELS / "unpack.py", weights], check=True)
    network = load_network(weights, config.network)
    manifest = json.loads((shipped_bundle() / "bundle.json").read_text())
    assert network.count_params() == manifest["model"]["parameters"]
    assert list(summary.class_names) == manifest["model"]["class_names"]
    # To the byte, so none of them is one of Keras's random beginnings.
    content = (shipped_bundle() / "sampler.onnx").read_bytes()
    for values in network.get_weights():
        kernel = values.transpose(3, 2, 0, 1) if values.ndim == 4 else values
        halves = np.ascontiguousarray(kernel, np.float16)
        assert any(x.tobytes() in content for x in (halves, halves.astype(np.float32)))
        np.testing.assert_array_equal(halves, kernel)


def test_flowers_without_naming_a_bundle(command: Command, tmp_path: Path) -> None:
    flags = ("--count=2", "--steps=2", "--device=cpu", "--label=sunflower")
    done = command("diffkiln-sample", *flags, f"--out={tmp_path / 'flowers.png'}")
    assert done.returncode == 0, done.stderr
    picture = np.asarray(Image.open(tmp_path / "flowers.png"))
    with Sampler(device="cpu") as sampler:
        images = sampler.sample(2, steps=2, labels="sunflower")
        assert sampler.bundle.class_names[53] == "sunflower"
    np.testing.assert_array_equal(picture[:, :64], images[0])
    np.testing.assert_array_equal(picture[:, 64 + GAP :], images[1])


@pytest.mark.slow
def test_its_samples_are_like_photographs(flowers_dir: Path) -> None:
    config = preset_config(
        "flowers64",
        data="tfds:oxford_flowers102",
        data_dir=str(flowers_dir),
        split="validation[:128]",
    )
    photographs = tfds_images("oxford_flowers102", config, download=False)
    known, labels = zip(*photographs.train(), strict=True)
    with Sampler(device="cpu") as sampler:
        drawn = sampler.sample(128, steps=10, labels=[int(x) for x in labels], guidance=1.0)
    features = extractor(None)
    distance = kid(features(drawn), features(np.stack(known)))
    # Photographs blurred by a pixel are at 0.784 (docs/training.md), pictures of nothing beyond 80.
    assert distance.mean < 1.5
