"""Learned variances of networks with 2·C outputs (Improved DDPM, arXiv 2102.09672)."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from small_models import (
    PIXELS,
    conditioned_network,
    run_function,
    run_onnx,
    small_exporter,
    with_random_weights,
)
from small_onnx import saved_network

from diffkiln.export import export_bundle
from diffkiln.export.proof.reference_noise import reference_noise
from diffkiln.export.verify import verify_bundle
from diffkiln.runtime import Sampler
from diffkiln.trainer.errors import InputError

SHAPE, SEEDS, NAMES = (4, 6, 3), [0, 7], ["rose", "lily"]
LEARNED: Any = {"eta": 1.0, "variance": "learned"}
# As guided-diffusion trains: x in [-1, 1], and timesteps that count from 0.
GUIDED: Any = {
    "pixel_mean": 0.5,
    "pixel_std": 0.5,
    "schedule": "ddpm_linear",
    "conditioning": "timestep",
    "first_timestep": 0,
    "time_grid": "linspace",
    "image_dtype": "float32",
}
BETAS = np.linspace(1e-4, 0.02, 1000)


def network(classes: int = 0) -> keras.Model:
    """Two convolutions to twice as many channels."""
    noisy: Any = keras.Input(SHAPE, name="noisy")
    time: Any = keras.Input((), name="time")
    inputs, x = [noisy, time], layers.Conv2D(8, 3, padding="same")(noisy)
    x += layers.Conv2D(8, 1)(layers.Reshape((1, 1, 1))(ops.sin(0.01 * time)))
    if classes:
        labels: Any = keras.Input((), name="labels", dtype="int32")
        inputs.append(labels)
        x += layers.Reshape((1, 1, 8))(layers.Embedding(classes + 1, 8)(labels + 1))
    outputs = layers.Conv2D(6, 3, padding="same")(ops.tanh(x))
    model = with_random_weights(keras.Model(inputs, outputs))
    for layer in model.layers:
        layer.set_weights([5 * weights for weights in layer.get_weights()])
    return model


def p_sample_loop(
    predict: Callable[[np.ndarray, int], np.ndarray], kept: Sequence[int]
) -> np.ndarray:
    """The last x, float64, in the conventions of guided-diffusion: `kept` of the 1000 timesteps.

    These have β of their own, from which the posterior's mean and variance follow. The last step
    adds no noise.
    """
    after = np.cumprod(1 - BETAS)[kept]
    before = np.array([1.0, *after[:-1]])
    betas = 1 - after / before
    posterior = betas * (1 - before) / (1 - after)
    lower, upper = np.log([posterior[1], *posterior[1:]]), np.log(betas)
    x = reference_noise(SEEDS, SHAPE)
    for i in reversed(range(len(kept))):
        output = predict(x, kept[i])
        epsilon, bounds = output[..., :3], output[..., 3:]
        image = np.clip((x - np.sqrt(1 - after[i]) * epsilon) / np.sqrt(after[i]), -1, 1)
        of_image = betas[i] * np.sqrt(before[i]) / (1 - after[i])
        of_x = (1 - before[i]) * np.sqrt(1 - betas[i]) / (1 - after[i])
        fraction = (bounds + 1) / 2
        deviation = np.exp(0.5 * (fraction * upper[i] + (1 - fraction) * lower[i]))
        fresh = reference_noise(SEEDS, SHAPE, stream=len(kept) - i) if i else 0.0
        x = of_image * image + of_x * x + deviation * fresh
    return x


@pytest.mark.parametrize(("steps", "guidance"), [(2, 1.0), (10, 1.0), (10, 3.0)])
def test_the_sampler_is_guided_diffusions(steps: int, guidance: float) -> None:
    """Guidance does not change the variance, as in the code of GLIDE and DiT."""
    model, labels = network(len(NAMES)), np.array([0, 1])

    def predict(x: np.ndarray, timestep: int) -> np.ndarray:
        times = np.full(len(x), timestep, np.float32)
        some, none = (
            np.asarray(model([x.astype(np.float32), times, each]), np.float64)
            for each in (labels, np.full(2, -1))
        )
        mixed = none + guidance * (some - none)
        return np.concatenate([mixed[..., :3], some[..., 3:]], axis=-1)

    kept = [round(k * 999 / (steps - 1)) for k in range(steps)]
    expected = (p_sample_loop(predict, kept) + 1) / 2
    graph = small_exporter(model, class_names=NAMES, **GUIDED, **LEARNED).graph("sampler")
    feeds: dict[str, Any] = {"seeds": np.array(SEEDS), "steps": np.array(steps), "labels": labels}
    (images,) = run_onnx(graph, **feeds, guidance=np.array(guidance, np.float32))
    assert np.mean((expected > 0) & (expected < 1)) > 0.05
    # The first step magnifies the network's rounding in float32 by noise/signal, 157.
    np.testing.assert_allclose(images, expected, atol=2e-4)


def test_the_denoiser_gives_the_fraction_between_the_bounds() -> None:
    model, settings = network(len(NAMES)), {**GUIDED, **LEARNED, "class_names": NAMES}
    exporter = small_exporter(model, **settings)
    noisy = reference_noise(SEEDS, SHAPE).astype(np.float32)
    feeds = {"noisy": noisy, "time": np.array([0.5, 0.001], np.float32), "labels": np.array([1, 0])}
    feeds["guidance"] = np.array(3, np.float32)
    expected = np.asarray(model([noisy, np.array([499, 0], np.float32), feeds["labels"]]))
    for fraction in (
        run_onnx(exporter.graph("denoiser"), **feeds)[2],
        run_function(exporter.signatures.denoise, **feeds)["variance_fraction"],
    ):
        np.testing.assert_allclose(fraction, (expected[..., 3:] + 1) / 2, atol=1e-5)


EVERY = ("sampler", "from_noise", "denoiser", "noise", "step", "trajectory", "inpaint")


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"class_names": NAMES, "prediction": "velocity", "graphs": EVERY},
        {"schedule": "ddpm_cosine", "prediction": "velocity", "precision": "float16"},
        {"unroll_steps": 3, "batch_size": 2, "clip": False, "prediction": "image"},
    ],
)
def test_bundles_with_a_learned_variance(tmp_path: Path, settings: dict[str, Any]) -> None:
    bundle, saved_model = tmp_path / "b", "graphs" in settings
    settings = {**PIXELS, **LEARNED, "graphs": ("sampler", "noise", "step"), **settings}
    export_bundle(
        network(len(settings.get("class_names", ()))), bundle, saved_model=saved_model, **settings
    )
    manifest = json.loads((bundle / "bundle.json").read_text())
    assert (manifest["sampler"]["variance"], manifest["format_version"]) == ("learned", 2)
    with Sampler(bundle, device="cpu") as sampler:
        images = sampler.sample(2, steps=3)
        *_, (_, stepped) = sampler.stepwise(2, steps=3)
    assert np.abs(stepped.astype(int) - images).max() <= 1
    if saved_model:
        assert "saved_model inpaint" in verify_bundle(bundle).to_reference


@pytest.mark.slow
def test_a_learned_variance_of_an_onnx_file(tmp_path: Path) -> None:
    file = saved_network(tmp_path / "unet.onnx", out_channels=6)
    settings = {**GUIDED, **LEARNED, "prediction": "velocity", "graphs": ("sampler",)}
    export_bundle(file, tmp_path / "b", **settings)
    assert verify_bundle(tmp_path / "b", file).to_reference["sampler.onnx"].largest < 1e-3
    file = saved_network(tmp_path / "plain.onnx")
    with pytest.raises(
        InputError, match=r"^variance=learned: .* \[N, 3, 6, 5\], expected .* 6, 6, 5"
    ):
        export_bundle(file, tmp_path / "c", **settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"eta": 0.5}, "which have eta=1, but eta is 0.5; expected eta=1 with solver=ddim, or"),
        ({"eta": 0.0, "solver": "dpmpp_2m"}, "which have eta=1, but eta is 0; expected eta=1"),
        ({"schedule": "flow", "prediction": "image"}, "which the schedule flow does not have;"),
        (
            {"schedule": "edm", "prediction": "image", "conditioning": "sigma"},
            "which the schedule edm does not have; leave variance out",
        ),
    ],
)
def test_steps_without_a_learned_variance_are_refused(settings: Any, words: str) -> None:
    with pytest.raises(InputError, match=f"^variance=learned: is the variance .*, {words}"):
        small_exporter(network(), **{**LEARNED, **settings})


def test_a_network_without_a_learned_variance_is_refused() -> None:
    received = r"the network has outputs \[N, 4, 6, 3\], expected one .* \[N, 4, 6, 6\]; leave"
    with pytest.raises(InputError, match=f"^variance=learned: {received}"):
        small_exporter(conditioned_network(), **LEARNED)
