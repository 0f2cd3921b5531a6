"""The parity certificate: proof that every baked form of a sampler is the sampler.

All graphs and signatures, as written to disk, run side by side with the float64 reference that
drives the same network, over several seeds, step counts and batch sizes. Only if they agree is
there a bundle.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..trainer.diffusion import Denoiser
from ..trainer.errors import InputError
from .forms import onnx_forms, saved_model_forms
from .reference import ReferenceSampler, reference_noise

SEEDS = (0, 12345, 2**32 + 7)
STEPS = (1, 20)
BATCHES = (1, 5)

# What float32 networks of different kernels drift apart over 20 steps, with room to spare.
FLOAT_TOLERANCE = 1e-3
# How far the outputs of one network, of size 1, are apart in different kernels.
KERNEL_DIFFERENCE = 1e-6
WIDEST_TOLERANCE = 8 / 255

ONNX, SAVED_MODEL = "sampler.onnx", "saved_model serving_default"


@dataclass(frozen=True)
class Difference:
    """Largest and mean absolute difference of pixels, in units where pixels lie in [0, 1]."""

    largest: float
    mean: float


@dataclass(frozen=True)
class Certificate:
    """How far each form of the bundle is from the reference, and on what they were compared."""

    seeds: tuple[int, ...]
    steps: tuple[int, ...]
    batches: tuple[int, ...]
    tolerance: float
    to_reference: dict[str, Difference]
    onnx_to_saved_model: Difference

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def comparisons(self) -> Iterator[tuple[str, Difference]]:
        """All comparisons with their names in words."""
        for name, difference in self.to_reference.items():
            yield f"{name} to float64 reference", difference
        yield f"{ONNX} to {SAVED_MODEL}", self.onnx_to_saved_model

    def table(self) -> str:
        """The comparisons as lines of text."""
        lines = [
            f"  {name:50} largest {255 * d.largest:6.3f}/255   mean {255 * d.mean:8.5f}/255"
            for name, d in self.comparisons()
        ]
        return "\n".join(lines)


def certify(
    bundle: Path,
    graphs: Sequence[str],
    reference: ReferenceSampler,
    *,
    shape: tuple[int, int, int],
    image_dtype: str,
) -> Certificate:
    """Run every form there is; InputError where one differs by more than the tolerance.

    The two samplers run on all cases, the other forms on those of the first seed.
    """
    settings = (shape, reference.pixels)
    forms = {**onnx_forms(bundle, graphs, *settings), **saved_model_forms(bundle, *settings)}
    expected, found = defaultdict(list), defaultdict(list)
    for seeds, steps in _cases():
        pixels = reference.from_noise(reference_noise(seeds.tolist(), shape), steps)
        for name in _forms_of_case(forms, int(seeds[0]), steps):
            expected[name].append(_unit(pixels, image_dtype))
            found[name].append(_unit(forms[name](seeds, steps), image_dtype))
    certificate = Certificate(
        SEEDS,
        STEPS,
        BATCHES,
        tolerance(reference, image_dtype),
        {name: _difference(found[name], expected[name]) for name in forms},
        _difference(found[ONNX], found[SAVED_MODEL]),
    )
    _require_parity(certificate)
    return certificate


def tolerance(reference: ReferenceSampler, image_dtype: str) -> float:
    """The largest difference of a pixel to be had of float32, in units where pixels lie in [0, 1].

    Floats: 1e-3. uint8: one level, since rounding may fall to either side. Both are wider where the
    network predicts noise and almost no signal is left at t = 1, for x̂_0 = (x − noise·ε̂)/signal
    magnifies every difference by noise/signal: 50 for the default schedule, but 20,000 for
    `ddpm_cosine`. Beyond 8/255 it would prove nothing.
    """
    signal_rate, noise_rate = reference.rates(1.0)
    magnified = noise_rate / signal_rate if reference.prediction == "noise" else 1.0
    apart = KERNEL_DIFFERENCE * magnified * max(reference.pixel_std)
    levels = (math.floor(255 * apart) + 1) / 255
    return min(levels if image_dtype == "uint8" else max(FLOAT_TOLERANCE, apart), WIDEST_TOLERANCE)


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


def _forms_of_case(forms: Iterable[str], seed: int, steps: int) -> Iterator[str]:
    for name in forms:
        single = "denoise" in name  # one evaluation is a whole sampling of one step
        if name in (ONNX, SAVED_MODEL) or (seed == SEEDS[0] and (steps == 1 or not single)):
            yield name


def _unit(images: np.ndarray, image_dtype: str) -> np.ndarray:
    """Pixels in [0, 1], float64 [n], at the resolution of the bundle's images."""
    if images.dtype == np.uint8:
        return images.ravel() / 255
    return (np.round(images * 255.0) / 255 if image_dtype == "uint8" else images).ravel()


def _difference(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> Difference:
    # A NaN would pass every comparison with a limit.
    apart = np.nan_to_num(np.abs(np.concatenate(a) - np.concatenate(b)), nan=np.inf)
    return Difference(float(apart.max()), float(apart.mean()))


def _require_parity(certificate: Certificate) -> None:
    for name, difference in certificate.comparisons():
        if difference.largest > certificate.tolerance * (1 + 1e-9):
            raise InputError(
                f"parity: {name} differ by up to {difference.largest:.6f}, expected at most "
                f"{certificate.tolerance:.6f}; nothing was written. Weights that are not finite, "
                "or a network that depends on more than its two inputs, make this"
            )
