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
from example_programs import EXAMPLES, start
from given_conditions import of, saved
from golden_bundles import make
from needed_programs import required_litert
from PIL import Image

from diffkiln.runtime import Sampler

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
