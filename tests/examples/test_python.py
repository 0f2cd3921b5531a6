"""The examples in Python run without diffkiln, by themselves, and draw its pictures."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffkiln.runtime import Sampler

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("example", "model"), [("onnxruntime", "sampler.onnx"), ("savedmodel", "saved_model")]
)
def test_pictures_are_those_of_the_sampler(
    example: str, model: str, tiny_bundle: Path, tmp_path: Path
) -> None:
    script = EXAMPLES / example / "sample.py"
    assert "diffkiln." not in script.read_text()
    out = tmp_path / "flowers.png"
    subprocess.run([sys.executable, script, tiny_bundle / model, out], check=True)
    expected = np.hstack(list(Sampler(tiny_bundle, device="cpu").sample(4, steps=20)))
    # One level of 255: TensorFlow adds in another order.
    assert np.abs(np.asarray(Image.open(out)).astype(int) - expected).max() <= 1


def test_the_commands_of_tensorflow(tiny_bundle: Path, tmp_path: Path) -> None:
    """As they stand in the page, but for where the bundle and the output are."""
    text = (EXAMPLES / "savedmodel/README.md").read_text().replace("\\\n", " ")
    commands = [line for line in text.splitlines() if line.startswith("saved_model_cli ")]
    tool = Path(sys.executable).with_name("saved_model_cli")
    outputs = [
        subprocess.run(
            command.replace("saved_model_cli", str(tool), 1).replace(
                "../../demo/flowers.bundle/saved_model", f"{tiny_bundle}/saved_model"
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
    assert np.abs(images - Sampler(tiny_bundle, device="cpu").sample(4, steps=20)).max() <= 1
