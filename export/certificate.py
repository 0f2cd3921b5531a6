"""The parity certificate: proof that both baked forms of a sampler are the sampler.

SavedModel and ONNX, as written to disk, run side by side with the float64 reference that drives the
same network, over several seeds, step counts and batch sizes. Only if they agree is there a bundle.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import tensorflow as tf

from ..trainer.diffusion import Denoiser
from ..trainer.errors import InputError
from .reference import ReferenceSampler, reference_noise

SEEDS = (0, 12345, 2**32 + 7)
STEPS = (1, 20)
BATCHES = (1, 5)

# What float32 networks of different kernels drift apart over 20 steps, with room to spare.
FLOAT_TOLERANCE = 1e-3
# How far the outputs of one network, of size 1, are apart in different kernels.
KERNEL_DIFFERENCE = 1e-6

Sampler = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Difference:
    """Largest and mean absolute difference of pixels, in units where pixels lie in [0, 1]."""

    largest: float
    mean: float


@dataclass(frozen=True)
class Certificate:
    """How far SavedModel, ONNX and reference are apart, and on what they were compared."""

    seeds: tuple[int, ...]
    steps: tuple[int, ...]
    batches: tuple[int, ...]
    tolerance: float
    saved_model_to_reference: Difference
    onnx_to_reference: Difference
    onnx_to_saved_model: Difference

    def to_json(self) -> dict:
        """Plain JSON values."""
        return asdict(self)

    def comparisons(self) -> Iterator[tuple[str, Difference]]:
        """The three comparisons with their names in words."""
        yield "SavedModel to float64 reference", self.saved_model_to_reference
        yield "ONNX to float64 reference", self.onnx_to_reference
        yield "ONNX to SavedModel", self.onnx_to_saved_model

    def table(self) -> str:
        """The comparisons as lines of text."""
        lines = [
            f"  {name:32} largest {255 * d.largest:6.3f}/255   mean {255 * d.mean:8.5f}/255"
            for name, d in self.comparisons()
        ]
        return "\n".join(lines)


def certify(
    saved_model: Path,
    sampler_onnx: Path,
    reference: ReferenceSampler,
    *,
    shape: tuple[int, int, int],
    image_dtype: str,
) -> Certificate:
    """Run all three; InputError where any two differ by more than the tolerance."""
    tensorflow_sampler, onnx_sampler = _saved_model(saved_model), _onnx(sampler_onnx)
    runs = []
    for seeds, steps in _cases():
        pixels = reference.from_noise(reference_noise(seeds.tolist(), shape), steps)
        baked = (_unit(sample(seeds, steps)) for sample in (tensorflow_sampler, onnx_sampler))
        runs.append((_quantised(pixels, image_dtype), *baked))
    expected, from_tensorflow, from_onnx = (
        np.concatenate(column) for column in zip(*runs, strict=True)
    )
    certificate = Certificate(
        SEEDS,
        STEPS,
        BATCHES,
        tolerance(reference, image_dtype),
        saved_model_to_reference=_difference(from_tensorflow, expected),
        onnx_to_reference=_difference(from_onnx, expected),
        onnx_to_saved_model=_difference(from_onnx, from_tensorflow),
    )
    _require_parity(certificate)
    return certificate


def tolerance(reference: ReferenceSampler, image_dtype: str) -> float:
    """The largest difference of a pixel to be had of float32, in units where pixels lie in [0, 1].

    Floats: 1e-3. uint8: one level, since rounding may fall to either side. Both are wider where the
    network predicts noise and almost no signal is left at t = 1, for x̂_0 = (x − noise·ε̂)/signal
    magnifies every difference by noise/signal: 50 for the default schedule, but 20,000 for
    `ddpm_cosine`.
    """
    signal_rate, noise_rate = reference.rates(1.0)
    magnified = noise_rate / signal_rate if reference.prediction == "noise" else 1.0
    apart = KERNEL_DIFFERENCE * magnified * max(reference.pixel_std)
    if image_dtype == "uint8":
        return (math.floor(255 * apart) + 1) / 255
    return max(FLOAT_TOLERANCE, apart)


def make_reference(denoiser: Denoiser, network: keras.Model) -> ReferenceSampler:
    """The float64 reference of a denoiser, driving its Keras network."""
    call = tf.function(lambda noisy, time: network([noisy, time]), reduce_retracing=True)
    return ReferenceSampler(
        lambda noisy, time: call(tf.constant(noisy), tf.constant(time)).numpy(),
        denoiser.schedule.describe(),
        denoiser.prediction,
        denoiser.pixel_mean,
        denoiser.pixel_std,
        clip=denoiser.clip,
    )


def _cases() -> Iterator[tuple[np.ndarray, int]]:
    for batch in BATCHES:
        for first in SEEDS:
            for steps in STEPS:
                yield np.arange(first, first + batch, dtype=np.int64), steps


def _saved_model(path: Path) -> Sampler:
    function = tf.saved_model.load(str(path)).signatures["serving_default"]

    def sample(seeds: np.ndarray, steps: int) -> np.ndarray:
        return function(seeds=tf.constant(seeds), steps=tf.constant(steps, tf.int64))[
            "images"
        ].numpy()

    return sample


def _onnx(path: Path) -> Sampler:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def sample(seeds: np.ndarray, steps: int) -> np.ndarray:
        feeds = {"seeds": seeds, "steps": np.array(steps, np.int64)}
        return np.asarray(session.run(["images"], feeds)[0])

    return sample


def _unit(images: np.ndarray) -> np.ndarray:
    """Pixels in [0, 1], float64 [n]."""
    return images.ravel() / (255 if images.dtype == np.uint8 else 1)


def _quantised(pixels: np.ndarray, image_dtype: str) -> np.ndarray:
    """The reference's pixels at the resolution of the output, float64 [n]."""
    return (np.round(pixels * 255) / 255 if image_dtype == "uint8" else pixels).ravel()


def _difference(a: np.ndarray, b: np.ndarray) -> Difference:
    # A NaN would pass every comparison with a limit.
    apart = np.nan_to_num(np.abs(a - b), nan=np.inf)
    return Difference(float(apart.max()), float(apart.mean()))


def _require_parity(certificate: Certificate) -> None:
    for name, difference in certificate.comparisons():
        if difference.largest > certificate.tolerance * (1 + 1e-9):
            raise InputError(
                f"parity: {name} differ by up to {difference.largest:.6f}, expected at most "
                f"{certificate.tolerance:.6f}; nothing was written. Weights that are not finite, "
                "or a network that depends on more than its two inputs, make this"
            )
