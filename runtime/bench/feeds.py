"""Inputs for a bundle's graphs, with one evaluation of an image in each step."""

import numpy as np

from ..bundle.bundle import Bundle
from ..engine.conditioning import unguided
from ..engine.feeds import declared


def sampler_feeds(bundle: Bundle, batch: int, steps: int) -> dict[str, np.ndarray]:
    """Return the inputs of sampler.onnx for the seeds 0 … batch - 1."""
    feeds = {"seeds": np.arange(batch), "steps": np.array(steps), **unguided(bundle, batch)}
    return declared(bundle.graph("sampler").signature, feeds)


def denoiser_feeds(bundle: Bundle, batch: int) -> dict[str, np.ndarray]:
    """Return the inputs of denoiser.onnx for noise at time 0.5."""
    noisy = np.random.default_rng(0).standard_normal((batch, *bundle.noise_shape), np.float32)
    names = [port.name for port in bundle.graph("denoiser").signature.inputs]
    times = {name: np.full(batch, 0.5, np.float32) for name in names if name.endswith("time")}
    feeds = {"noisy": noisy, **times, **unguided(bundle, batch)}
    return declared(bundle.graph("denoiser").signature, feeds)


def further_feeds(bundle: Bundle, batch: int) -> tuple[str, dict[str, np.ndarray]] | None:
    """The graph that follows the last step, a decoder or a second stage, and inputs for it."""
    if bundle.latent_shape is not None:
        return "decoder", {"latents": np.zeros((batch, *bundle.latent_shape), np.float32)}
    if bundle.factor == 1:
        return None
    ports = bundle.graph("upscaler").signature.inputs
    small = np.full((batch, *bundle.small_shape), 0.5, np.float32)
    feeds = {"low_resolution": small, "seeds": np.arange(batch), **unguided(bundle, batch)}
    return "upscaler", {port.name: feeds[port.name] for port in ports}
