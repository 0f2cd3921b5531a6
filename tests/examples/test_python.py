"""The examples in Python need no diffkiln, and the commands in their READMEs draw its pictures.

The test of the gallery draws classes.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_programs import EXAMPLES, ExampleError, npm, start
from given_conditions import of, saved
from golden_bundles import make
from needed_programs import required_litert
from PIL import Image
from small_models import conditioned_network

from diffkiln.export import export_bundle
from diffkiln.runtime import Sampler
from diffkiln.runtime.output.images import to_uint8

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("example", ["onnxruntime", "savedmodel", "litert"])
def test_they_do_not_import_diffkiln(example: str) -> None:
    assert "diffkiln" not in re.findall(
        r"(?:import|from) (\w+)", (EXAMPLES / example / "sample.py").read_text()
    )


@pytest.mark.parametrize(
    ("example", "model"), [("onnxruntime", "sampler.onnx"), ("savedmodel", "saved_model")]
)
def test_they_draw_without_classes(
    saved_bundle: Path, tmp_path: Path, example: str, model: str
) -> None:
    picture = tmp_path / "flowers.png"
    start([sys.executable, EXAMPLES / example / "sample.py", saved_bundle / model, picture])
    images = Sampler(saved_bundle, device="cpu").sample(8, steps=20)
    # One level of 255: TensorFlow adds in another order.
    assert np.abs(np.asarray(Image.open(picture)).astype(int) - np.hstack(list(images))).max() <= 1


@pytest.fixture(scope="module")
def grey_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey floats, from graphs whose numbers are lists of one."""
    bundle = tmp_path_factory.mktemp("grey") / "b"
    settings: dict[str, Any] = {"pixel_mean": 0.4, "pixel_std": 0.3, "image_dtype": "float32"}
    forms: dict[str, Any] = {"graphs": ("sampler",), "numbers_as_lists": True, "litert": True}
    export_bundle(conditioned_network((4, 6, 1)), bundle, **settings, **forms)
    return bundle


@pytest.mark.parametrize(
    ("example", "model"), [("onnxruntime", "sampler.onnx"), ("savedmodel", "saved_model")]
)
def test_they_draw_grey_floats(grey_bundle: Path, tmp_path: Path, example: str, model: str) -> None:
    picture = tmp_path / "grey.png"
    start([sys.executable, EXAMPLES / example / "sample.py", grey_bundle / model, picture])
    images = to_uint8(Sampler(grey_bundle, device="cpu").sample(8, steps=20))[..., 0]
    assert np.abs(np.asarray(Image.open(picture)).astype(int) - np.hstack(list(images))).max() <= 1


def test_node_draws_grey_floats(grey_bundle: Path, tmp_path: Path) -> None:
    npm("node", "run", "sample", "--", str(grey_bundle), "0", "2", "20", str(tmp_path / "p"))
    images = to_uint8(Sampler(grey_bundle, device="cpu").sample(2, steps=20))[..., 0]
    drawn = np.stack([np.asarray(Image.open(tmp_path / f"p/{seed}.png")) for seed in range(2)])
    assert np.abs(drawn.astype(int) - images).max() <= 1


def test_litert_refuses_what_a_ppm_cannot_hold(grey_bundle: Path, tmp_path: Path) -> None:
    command = [required_litert(), EXAMPLES / "litert/sample.py", grey_bundle / "sampler.tflite"]
    with pytest.raises(ExampleError, match="expected a bundle of RGB images with --image_dtype"):
        start([*command, tmp_path / "grey.ppm"])


def test_a_missing_condition_is_named(conditions_bundle: Path, tmp_path: Path) -> None:
    command = [sys.executable, EXAMPLES / "onnxruntime/sample.py"]
    with pytest.raises(ExampleError, match=r"expected text=FILE.npy, float32 \[2, 3\]"):
        start([*command, conditions_bundle / "sampler.onnx", tmp_path / "x.png"])


def test_they_draw_with_conditions(tmp_path: Path) -> None:
    forms: dict[str, Any] = {"graphs": ("sampler",), "saved_model": True, "litert": True}
    bundle = make("conditions.bundle", tmp_path / "c.bundle", **forms)
    given = of(slice(1)) | {"text": np.repeat(of(slice(4))["text"], 2, axis=0)}
    texts, picture = saved(tmp_path, given), tmp_path / "flowers.ppm"
    with Sampler(bundle, device="cpu") as sampler:
        images = sampler.sample(8, steps=20, conditions=given)
    for example, python, model in (
        ("onnxruntime", sys.executable, "sampler.onnx"),
        ("savedmodel", sys.executable, "saved_model"),
        ("litert", required_litert(), "sampler.tflite"),
    ):
        start([python, EXAMPLES / example / "sample.py", bundle / model, picture, *texts])
        drawn = np.asarray(Image.open(picture)).astype(int)
        assert np.abs(drawn - np.hstack(list(images))).max() <= 1


def test_the_commands_of_tensorflow(saved_class_bundle: Path, tmp_path: Path) -> None:
    """Run the page's commands, with other paths of the bundle and the output."""
    text = (EXAMPLES / "savedmodel/README.md").read_text().replace("\\\n", " ")
    commands = [line for line in text.splitlines() if line.startswith("saved_model_cli ")]
    tool = Path(sys.executable).with_name("saved_model_cli")
    outputs = [
        subprocess.run(
            command.replace("saved_model_cli", str(tool), 1).replace(
                "../../demo/flowers.bundle/saved_model", f"{saved_class_bundle}/saved_model"
            ),
            shell=True,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for command in commands
    ]
    assert len(commands) == 2
    assert "inputs['seeds'] tensor_info" in outputs[0]
    images = np.load(tmp_path / "images.npy").astype(int)
    with Sampler(saved_class_bundle, device="cpu") as sampler:
        expected = sampler.sample(4, steps=20, labels=[0, 1, 2, -1], guidance=2.0)
    assert np.abs(images - expected).max() <= 1
