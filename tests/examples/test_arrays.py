"""Every host writes arrays that are no pictures to a NumPy file: those of diffkiln's Sampler."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from array_files import require_near
from example_programs import (
    BROWSERS,
    EXAMPLES,
    ExampleError,
    MissingProgramError,
    built_page,
    cpp_program,
    csharp_program,
    npm,
    start,
    use_page,
)
from gallery_hosts import openvino_python
from needed_programs import required_litert, required_program

from diffkiln.runtime import Sampler

pytestmark = pytest.mark.slow


def in_onnxruntime(bundle: Path, out: Path) -> None:
    start([sys.executable, EXAMPLES / "onnxruntime/sample.py", bundle / "sampler.onnx", out])


def in_tensorflow(bundle: Path, out: Path) -> None:
    start([sys.executable, EXAMPLES / "savedmodel/sample.py", bundle / "saved_model", out])


def in_litert(bundle: Path, out: Path) -> None:
    start([required_litert(), EXAMPLES / "litert/sample.py", bundle / "sampler.tflite", out])


def in_cpp(bundle: Path, out: Path) -> None:
    for name in ("cmake", "c++"):
        required_program(name)
    start([cpp_program(), bundle, out, 0, 8])


def in_csharp(bundle: Path, out: Path) -> None:
    try:
        start([*csharp_program(), bundle, out, 0, 8])
    except MissingProgramError as error:
        pytest.skip(str(error))  # in CI too, since the build needs NuGet


HOSTS = [in_onnxruntime, in_tensorflow, in_litert, in_cpp, in_csharp]


def require_the_samplers(bundle: Path, file: Path) -> None:
    """The file holds, as version 1.0 of the format, what the Sampler draws for seeds 0 to 7."""
    assert file.read_bytes()[:8] == b"\x93NUMPY\1\0"
    received = np.load(file)
    with Sampler(bundle, device="cpu") as sampler:
        expected = sampler.sample(8)
    require_near(bundle, received, expected)


@pytest.mark.parametrize("draw", HOSTS)
def test_it_draws_the_samplers_arrays(
    saved_arrays_bundle: Path, tmp_path: Path, draw: Callable[[Path, Path], None]
) -> None:
    draw(saved_arrays_bundle, tmp_path / "samples.npy")
    require_the_samplers(saved_arrays_bundle, tmp_path / "samples.npy")


@pytest.mark.parametrize("draw", HOSTS)
def test_it_writes_no_picture_of_them(
    saved_arrays_bundle: Path, tmp_path: Path, draw: Callable[[Path, Path], None]
) -> None:
    message = "flowers.ppm: the bundle draws arrays that are no pictures, expected OUT.npy"
    with pytest.raises(ExampleError, match=message):
        draw(saved_arrays_bundle, tmp_path / "flowers.ppm")
    assert not list(tmp_path.iterdir())


def test_node_draws_the_samplers_arrays(arrays_bundle: Path, tmp_path: Path) -> None:
    npm("node", "run", "sample", "--", str(arrays_bundle), "0", "8", "20", str(tmp_path))
    require_the_samplers(arrays_bundle, tmp_path / "samples.npy")
    assert len(list(tmp_path.iterdir())) == 1


def test_the_web_page_draws_the_samplers_arrays(arrays_bundle: Path, tmp_path: Path) -> None:
    required_program(*BROWSERS)
    out = tmp_path / "samples.npy"
    numbers = {"WEB_SEED": "0", "WEB_COUNT": "8", "WEB_STEPS": "20"}
    use_page(built_page(), "draw", WEB_BUNDLE=str(arrays_bundle), WEB_PICTURE=str(out), **numbers)
    require_the_samplers(arrays_bundle, out)


def test_openvino_draws_the_samplers_arrays(arrays_bundle: Path, tmp_path: Path) -> None:
    try:
        command = [openvino_python(), "-m", "diffkiln.runtime", "--device=openvino"]
    except MissingProgramError as error:
        pytest.skip(str(error))
    out = tmp_path / "samples.npz"
    start([*command, f"--bundle={arrays_bundle}", "--seed=0", "--count=8", f"--out={out}"])
    with np.load(out) as file:
        np.save(tmp_path / "samples.npy", file["samples"])
    require_the_samplers(arrays_bundle, tmp_path / "samples.npy")


def test_tensorflows_command_writes_them_too(saved_arrays_bundle: Path, tmp_path: Path) -> None:
    inputs = "seeds=[0,1,2,3,4,5,6,7];steps=20;labels=[0,1,0,1,0,1,0,1];guidance=2"
    tool = Path(sys.executable).with_name("saved_model_cli")
    which = ["--dir", saved_arrays_bundle / "saved_model", "--tag_set", "serve"]
    wanted = ["--signature_def", "serving_default", "--input_exprs", inputs, "--outdir", tmp_path]
    start([tool, "run", *which, *wanted])
    require_the_samplers(saved_arrays_bundle, tmp_path / "samples.npy")
