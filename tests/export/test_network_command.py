"""Networks of `.keras` files, and bundles that exist, on the command line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from latent_models import LATENTS, SHAPE, convolutional_decoder, convolutional_encoder
from onnx import TensorProto, helper
from small_models import array_network, conditioned_network
from small_onnx import saved_network


# Keras saves variables through a signature that NumPy 2 deprecates.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_keras_file_from_the_command_line(command: Command, tmp_path: Path) -> None:
    conditioned_network().save(tmp_path / "net.keras")
    np.save(tmp_path / "ddpm.npy", np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)))
    flags = (
        f"--network={tmp_path / 'net.keras'}",
        f"--bundle={tmp_path / 'b'}",
        "--pixel_mean=0.5,0.4,0.5",
        "--pixel_std=0.25",
        "--prediction=velocity",
        f"--schedule={tmp_path / 'ddpm.npy'}",
        "--conditioning=noise_rate",
        "--solver=dpmpp_2m",
        "--time_grid=karras",
        "--graphs=sampler,trajectory",
    )
    result = command("diffkiln-export", *flags)
    assert result.returncode == 0, result.stderr
    assert "sampler.onnx to saved_model serving_default" in result.stdout
    content = json.loads((tmp_path / "b" / "bundle.json").read_text())
    assert (content["sampler"]["solver"], content["sampler"]["time_grid"]) == ("dpmpp_2m", "karras")
    verified = command("diffkiln-export", "--verify", f"--bundle={tmp_path / 'b'}")
    assert verified.returncode == 0, verified.stderr
    assert "trajectory.onnx to float64 reference" in verified.stdout


def test_an_onnx_file_from_the_command_line(command: Command, tmp_path: Path) -> None:
    network = f"--network={saved_network(tmp_path / 'unet.onnx', timestep_type=TensorProto.FLOAT)}"
    flags = ("--pixel_mean=0.5", "--pixel_std=0.25", "--graphs=sampler", "--prediction=velocity")
    result = command("diffkiln-export", network, f"--bundle={tmp_path / 'b'}", *flags)
    assert result.returncode == 0, result.stderr
    assert "will have no SavedModel" in result.stderr
    flags = ("--verify", network, "--inputs=noisy,condition")
    verified = command("diffkiln-export", f"--bundle={tmp_path / 'b'}", *flags)
    assert verified.returncode == 0, verified.stderr
    assert "sampler.onnx to float64 reference" in verified.stdout
    negative = [helper.make_node("Neg", ["changed"], ["hidden"])]
    saved_network(tmp_path / "other.onnx", timestep_type=TensorProto.FLOAT, extra=negative)
    flags = ("--verify", f"--network={tmp_path / 'other.onnx'}", "--inputs=noisy,condition")
    result = command("diffkiln-export", f"--bundle={tmp_path / 'b'}", *flags)
    assert result.returncode == 1
    assert "other.onnx: is not what" in result.stderr


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_decoder_and_an_encoder_from_the_command_line(command: Command, tmp_path: Path) -> None:
    models = {
        "network": array_network(SHAPE),
        "decoder": convolutional_decoder(),
        "encoder": convolutional_encoder(),
    }
    for name, model in models.items():
        model.save(tmp_path / f"{name}.keras")
    flags = [f"--{name}={tmp_path / name}.keras" for name in models]
    flags += [f"--{name}={value}" for name, value in LATENTS.items()]
    flags += [f"--bundle={tmp_path / 'b'}", "--graphs=sampler,edit", "--prediction=velocity"]
    result = command("diffkiln-export", *flags)
    assert result.returncode == 0, result.stderr
    assert "decoder.onnx to float64 reference" in result.stdout


NUMBERS = ("--network=no.keras", "--pixel_mean=0.5", "--pixel_std=0.5")


@pytest.mark.parametrize(
    ("flags", "status", "words"),
    [
        (NUMBERS, 1, "no.keras: no such"),
        (("--network=no.keras", "--pixel_std=0.5"), 2, "--pixel_mean: missing"),
        (("--network=no.keras", "--pixel_mean=grey", "--pixel_std=1"), 2, "--pixel_mean=grey"),
        ((*NUMBERS, "--mean=0"), 2, "got mean, pixel_mean, pixel_std; expected"),
        (("--network=no.keras", "--mean=a,b", "--std=1"), 2, "--mean=a,b: expected numbers"),
        (("--verify", "--decoder=d.keras"), 2, "--decoder: goes with --network"),
        (
            ("--run_dir=r", "--prediction=noise"),
            2,
            "--prediction=noise: config.json of the run says it",
        ),
        (
            (*NUMBERS, "--schedule=ddpm_linear", "--min_signal_rate=0.02"),
            2,
            "--min_signal_rate: ddpm_linear has no such setting; leave it out",
        ),
        (
            (*NUMBERS, "--schedule=sine"),
            2,
            "--schedule=sine: expected one of cosine, ddpm_linear, ddpm_cosine",
        ),
        (
            (*NUMBERS, "--schedule=flow", "--sigma_max=80"),
            2,
            "--sigma_max: flow has no such setting; leave it out",
        ),
        ((*NUMBERS, "--schedule=edm", "--sigma_min=90"), 2, "sigma_min=90.0, sigma_max=80.0"),
        ((*NUMBERS, "--schedule=no.npy"), 2, "schedule=no.npy: [Errno 2] No such file"),
        (("--run_dir=r", "--network=n.keras"), 2, "--network: cannot be combined with --run_dir"),
        ((), 2, "--run_dir: expected the folder of a diffkiln-train run, or else --network"),
        (("--verify", "--solver=ddim"), 2, "--solver: cannot be combined with --verify"),
        (("--verify", "--network=n.keras"), 1, "network=n.keras: no such file"),
        (("--verify", "--import=layers.py"), 2, "--import: goes with --network"),
        (("--verify", "--inputs=noisy"), 2, "--inputs: goes with --network"),
        (("--network=n.onnx", *NUMBERS[1:], "--learn"), 2, "--learn: is for Keras networks"),
        (("--network=n.onnx", *NUMBERS[1:], "--saved_model"), 2, "--saved_model: is for Keras"),
        (("--network=n.onnx", *NUMBERS[1:], "--litert"), 2, "--litert: is for Keras networks"),
        (("--network=n.onnx", *NUMBERS[1:]), 1, "n.onnx: no such file"),
        (("--run_dir=r", "--tables=no.json"), 2, "--tables=no.json: no such file; add --learn"),
        (
            ("--run_dir=r", "--learn_steps=5"),
            2,
            "--learn_steps: is for learning tables; add --learn",
        ),
        (("--run_dir=r", "--learn", "--learn_steps=5,x"), 2, "--learn_steps=5,x: expected whole"),
        (("--run_dir=r", "--learn", "--learn_steps=1"), 2, "--learn_steps=1: expected step counts"),
        (("--run_dir=r", "--learn", "--eta=0.5"), 2, "--eta=0.5: a table has no place for fresh"),
        (("--run_dir=r", "--eta=2"), 2, "--eta=2: expected a number from 0"),
        (("--verify",), 1, "b does not exist"),
    ],
)
def test_wrong_flags(
    command: Command, tmp_path: Path, flags: tuple[str, ...], status: int, words: str
) -> None:
    result = command("diffkiln-export", f"--bundle={tmp_path / 'b'}", *flags)
    assert result.returncode == status
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert words in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_file_that_keras_cannot_load_is_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "net.keras").write_bytes(b"no network")
    flags = ("--pixel_mean=0.5", "--pixel_std=0.5", f"--bundle={tmp_path / 'b'}")
    result = command("diffkiln-export", f"--network={tmp_path / 'net.keras'}", *flags)
    assert result.returncode == 1
    assert "Keras cannot load it" in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr


def test_an_altered_bundle_is_not_verified(
    command: Command, saved_bundle: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(saved_bundle, tmp_path / "copy.bundle"))
    file = next((copy / "saved_model" / "variables").glob("*.data*"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)
    result = command("diffkiln-export", "--verify", f"--bundle={copy}")
    assert result.returncode == 1
    assert file.name in result.stderr
    assert "as bundle.json says" in result.stderr
