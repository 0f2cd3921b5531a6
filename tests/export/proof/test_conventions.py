"""Exports of networks that were trained with other schedules and conventions."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from small_models import PIXELS, conditioned_network, run_onnx, with_random_weights
from small_tables import random_tables, write_tables

from diffkiln.export import (
    CosineSchedule,
    EDMSchedule,
    FlowSchedule,
    ddpm_linear,
    export_bundle,
    rescale_zero_terminal_snr,
    schedule_from_betas,
)
from diffkiln.runtime import Sampler
from diffkiln.trainer.errors import InputError

pytestmark = pytest.mark.slow

LEAST: Any = {**PIXELS, "graphs": ("sampler",), "saved_model": False}


def exported(bundle: Path, **settings: Any) -> dict[str, Any]:
    """The manifest of a bundle, which the runtime can draw with."""
    export_bundle(conditioned_network(), bundle, **{**LEAST, **settings})
    with Sampler(bundle, device="cpu") as sampler:
        assert sampler.sample(2).shape == (2, 4, 6, 3)
    return json.loads((bundle / "bundle.json").read_text())


def test_an_array_of_fewer_steps_than_the_default(tmp_path: Path) -> None:
    betas = np.linspace(0.01, 0.4, 12)
    manifest = exported(tmp_path / "b", schedule=schedule_from_betas(betas))
    assert manifest["format_version"] == 2
    assert manifest["schedule"]["alphas_cumprod"] == np.cumprod(1 - betas).tolist()
    assert manifest["certificate"]["steps"] == [1, 12]
    assert manifest["sampler"]["default_steps"] == manifest["sampler"]["max_steps"] == 12


def test_more_unrolled_steps_than_the_schedule_has(tmp_path: Path) -> None:
    settings = {"schedule": schedule_from_betas([0.1, 0.2, 0.5]), "unroll_steps": 4}
    with pytest.raises(InputError, match=r"^unroll_steps=4: expected at most 3, the timesteps of"):
        exported(tmp_path / "b", **settings)


def test_zero_terminal_snr(tmp_path: Path) -> None:
    """The first step in ln(signal/noise) is infinite: with tables, and in half precision."""
    settings = {
        "schedule": rescale_zero_terminal_snr(ddpm_linear()),
        "prediction": "velocity",
        "conditioning": "timestep",
        "solver": "dpmpp_2m",
        "image_dtype": "float32",
    }
    tables, all_settings = random_tables(3, timesteps=1000), {**LEAST, **settings}
    file = write_tables(tmp_path / "t.json", conditioned_network(), tables, **all_settings)
    manifest = exported(tmp_path / "b", **settings, tables=file)
    assert manifest["schedule"]["alphas_cumprod"][-1] == 0
    assert manifest["certificate"]["steps"] == [1, 3, 20]
    assert manifest["certificate"]["tolerance"] == 1e-3
    exported(tmp_path / "half", **settings, precision="float16")


def test_a_flow(tmp_path: Path) -> None:
    """DDIM and its inversion from a signal of nothing; fresh noise, and tables, elsewhere."""
    graphs = ("sampler", "denoiser", "step", "encode", "inpaint")
    settings: dict[str, Any] = {"schedule": FlowSchedule(), "prediction": "velocity"}
    manifest = exported(tmp_path / "b", **settings, conditioning="timestep", graphs=graphs)
    assert (manifest["schedule"], manifest["format_version"]) == ({"name": "flow"}, 2)
    exported(tmp_path / "fresh", schedule="flow", prediction="image", eta=1.0)
    settings |= {"solver": "dpmpp_2m", "image_dtype": "float32"}
    tables, all_settings = random_tables(4), {**LEAST, **settings}
    file = write_tables(tmp_path / "t.json", conditioned_network(), tables, **all_settings)
    manifest = exported(tmp_path / "tables", **settings, tables=file)
    assert manifest["certificate"]["to_reference"]["sampler.onnx"]["largest"] < 1e-4


@pytest.mark.parametrize("schedule", [FlowSchedule(), CosineSchedule(max_signal_rate=1)])
def test_fresh_noise_after_an_evaluation_without_noise(tmp_path: Path, schedule: Any) -> None:
    """That step divides 0 by 0, but comes after the picture."""
    settings = {"schedule": schedule, "prediction": "velocity", "time_grid": "linspace"}
    manifest = exported(tmp_path / "b", **settings, eta=0.5, image_dtype="float32")
    assert manifest["certificate"]["to_reference"]["sampler.onnx"]["largest"] < 1e-4


def test_edm(tmp_path: Path) -> None:
    graphs = ("sampler", "denoiser", "step", "encode")
    settings: dict[str, Any] = {"schedule": EDMSchedule(sigma_max=40), "prediction": "edm"}
    settings |= {"conditioning": "c_noise", "time_grid": "linspace", "graphs": graphs}
    manifest = exported(tmp_path / "b", **settings)
    numbers = {"sigma_min": 0.002, "sigma_max": 40, "sigma_data": 0.5}
    assert manifest["schedule"] == {"name": "edm", **numbers}
    assert manifest["format_version"] == 2
    settings |= {"solver": "dpmpp_2m", "image_dtype": "float32", "graphs": ("sampler", "denoiser")}
    tables, all_settings = random_tables(4), {**LEAST, **settings}
    file = write_tables(tmp_path / "t.json", conditioned_network(), tables, **all_settings)
    manifest = exported(tmp_path / "tables", **settings, tables=file)
    assert manifest["certificate"]["to_reference"]["sampler.onnx"]["largest"] < 1e-4


def test_dynamic_thresholding(tmp_path: Path) -> None:
    settings = {"dynamic_threshold": 0.8, "graphs": ("sampler", "denoiser", "inpaint")}
    manifest = exported(tmp_path / "b", **settings)
    assert manifest["sampler"]["dynamic_threshold"] == 0.8
    assert manifest["format_version"] == 2
    # The network's images at t = 1 are far outside the range.
    noisy, time = np.ones((1, 4, 6, 3), np.float32), np.ones(1, np.float32)
    clipped = tmp_path / "clipped"
    exported(clipped, graphs=("sampler", "denoiser"))
    images = [
        run_onnx(bundle / "denoiser.onnx", noisy=noisy, time=time)[0]
        for bundle in (tmp_path / "b", clipped)
    ]
    assert np.abs(images[0] - images[1]).max() > 0.1


def test_an_embedding_of_timesteps_from_0_to_999(tmp_path: Path) -> None:
    """As keras.io's and diffusers' DDPM have it: the first timestep has the first row."""
    noisy, timestep = keras.Input((4, 6, 3)), keras.Input((), dtype="int32")
    row = layers.Reshape((1, 1, 3))(layers.Embedding(1000, 3)(timestep))
    network = with_random_weights(keras.Model([noisy, timestep], noisy + row))
    settings = {**LEAST, "graphs": ("sampler", "denoiser"), "schedule": "ddpm_linear"}
    settings |= {"conditioning": "timestep", "first_timestep": 0, "clip": False}
    export_bundle(network, tmp_path / "b", **settings)
    manifest = json.loads((tmp_path / "b" / "bundle.json").read_text())
    assert (manifest["model"]["first_timestep"], manifest["format_version"]) == (0, 2)
    zeros, time = np.zeros((2, 4, 6, 3), np.float32), np.array([0.001, 1], np.float32)
    _, noise = run_onnx(tmp_path / "b" / "denoiser.onnx", noisy=zeros, time=time)
    rows = network.trainable_variables[0].numpy()[[0, 999]]
    np.testing.assert_array_equal(noise[:, 0, 0], rows)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"first_timestep": 0}, "first_timestep=0: the network takes no timestep, but"),
        ({"first_timestep": 2, "conditioning": "timestep"}, "first_timestep=2: expected 0 or 1"),
        ({"dynamic_threshold": 99.5}, "dynamic_threshold=99.5: expected a share of the pixels"),
        ({"dynamic_threshold": 0.9, "clip": False}, "dynamic_threshold=0.9: ends with clipping"),
        ({"schedule": "sine"}, "schedule=sine: expected one of cosine, ddpm_linear, ddpm_cosine"),
    ],
)
def test_conventions_that_are_none(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=f"^{words}"):
        exported(tmp_path / "b", **settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"prediction": "noise"}, "prediction=noise: the schedule leaves no signal at t = 1"),
        ({"conditioning": "log_snr"}, "conditioning=log_snr: is infinite at t = 1"),
        ({"time_grid": "karras"}, "time_grid=karras: noise/signal is infinite at t = 1"),
    ],
)
def test_what_is_infinite_without_signal_is_refused(
    tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    schedule = rescale_zero_terminal_snr(ddpm_linear())
    with pytest.raises(InputError, match=f"^{words}"):
        exported(tmp_path / "b", **{"schedule": schedule, "prediction": "image", **settings})
