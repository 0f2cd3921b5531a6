"""Compares all graphs and signatures of a bundle, as written to disk, with the float64 reference.

Both drive the same network, over several seeds, step counts and batch sizes. Only if they agree is
there a bundle.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ...trainer.errors import InputError
from ..graphs.cuda_check import CudaCheck, check_cuda
from .certificate import ONNX, SAVED_MODEL, Certificate, Difference
from .forms import Form, onnx_forms, saved_model_forms
from .reference import ReferenceSampler
from .truth import Truth

SEEDS = (0, 12345, 2**32 + 7)
STEPS = (1, 20)
VERIFY_STEPS = (1, 2, 20, 50)
BATCHES = (1, 5)

# How far float32 networks of different kernels drift apart over 20 steps, with room to spare.
FLOAT_TOLERANCE = 1e-3
# How far the outputs of one network, of size 1, are apart in different kernels.
KERNEL_DIFFERENCE = 1e-6
WIDEST_TOLERANCE = 8 / 255
HALF_PRECISION_MEAN = 1 / 255

# Absolute differences of the pixels of each case.
Differences = list[np.ndarray]


def certify(
    bundle: Path,
    graphs: Sequence[str],
    description: Mapping[str, Any],
    reference: ReferenceSampler,
    *,
    steps: Sequence[int] = STEPS,
) -> Certificate:
    """Run every form that lies in the bundle; InputError where one differs by too much.

    `description` holds the essentials of the manifest. The two samplers run on all cases, the other
    forms only on the first seed with the largest batch.
    """
    unrolled = description["sampler"].get("unrolled") or {}
    batches = _with(BATCHES, unrolled.get("batch"))
    steps = _with(steps, unrolled.get("steps"))
    forms = list(onnx_forms(bundle, graphs, description))
    if (bundle / "saved_model").is_dir():
        forms += saved_model_forms(bundle, description)
    to_reference, to_each_other = _compared(forms, description, reference, batches, steps)
    certificate = Certificate(
        SEEDS,
        tuple(steps),
        tuple(batches),
        *tolerances(reference, description),
        {name: _difference(apart) for name, apart in to_reference.items()},
        _difference(to_each_other) if to_each_other else None,
        _checked_for_cuda(bundle, graphs, description),
    )
    _require_parity(certificate, description["model"]["precision"])
    return certificate


def tolerances(reference: ReferenceSampler, description: Mapping[str, Any]) -> tuple[float, float]:
    """The largest difference of a pixel that the precision allows, and the largest mean.

    In units where pixels lie in [0, 1]. Floats: 1e-3. uint8: one level, since rounding may fall to
    either side. Both are wider where the network predicts noise and almost no signal is left at
    t = 1, for x̂_0 = (x − noise·ε̂)/signal magnifies every difference by noise/signal: 50 for the
    default schedule, but 20,000 for `ddpm_cosine`. Beyond 8/255 it would prove nothing. Networks in
    half precision have those 8/255, and a mean of one.
    """
    if description["model"]["precision"] == "float16":
        return WIDEST_TOLERANCE, HALF_PRECISION_MEAN
    signal_rate, noise_rate = reference.rates(1.0)
    magnified = noise_rate / signal_rate if description["model"]["prediction"] == "noise" else 1.0
    apart = KERNEL_DIFFERENCE * magnified * max(reference.pixel_std)
    levels = (math.floor(255 * apart) + 1) / 255
    largest = levels if description["image"]["dtype"] == "uint8" else max(FLOAT_TOLERANCE, apart)
    largest = min(largest, WIDEST_TOLERANCE)
    return largest, largest


def _with(numbers: Sequence[int], another: int | None) -> list[int]:
    return sorted({*numbers, *([another] if another else [])})


def _compared(
    forms: Sequence[Form],
    description: Mapping[str, Any],
    reference: ReferenceSampler,
    batches: Sequence[int],
    all_steps: Sequence[int],
) -> tuple[dict[str, Differences], Differences]:
    """Differences of each form from the reference, and of sampler.onnx from the SavedModel."""
    to_reference: dict[str, Differences] = {form.name: [] for form in forms}
    to_each_other: Differences = []
    dtype = description["image"]["dtype"]
    num_classes = len(description["model"].get("class_names", []))
    for batch, first, steps in itertools.product(batches, SEEDS, all_steps):
        seeds = np.arange(first, first + batch, dtype=np.int64)
        truth = Truth(reference, seeds, steps, description["image"], num_classes)
        pixels = {}
        for form in (form for form in forms if _runs(form, seeds, steps, max(batches))):
            result = form.run(truth.tensors)
            pixels[form.name] = _unit(result, form.graph, reference, dtype)
            expected = _unit(truth.result(form.graph), form.graph, reference, dtype)
            to_reference[form.name].append(np.abs(pixels[form.name] - expected))
        if ONNX in pixels and SAVED_MODEL in pixels:
            to_each_other.append(np.abs(pixels[ONNX] - pixels[SAVED_MODEL]))
    return to_reference, to_each_other


def _runs(form: Form, seeds: np.ndarray, steps: int, largest_batch: int) -> bool:
    first = seeds[0] == SEEDS[0] and len(seeds) == (form.batch or largest_batch)
    return form.takes(steps, len(seeds)) and (form.graph == "sampler" or bool(first))


def _unit(values: np.ndarray, graph: str, reference: ReferenceSampler, dtype: str) -> np.ndarray:
    """Pixels in [0, 1], float64 [n], rounded where images of `dtype` are; noise in their units."""
    if graph == "encode":
        return (np.asarray(values, np.float64) * np.asarray(reference.pixel_std)).ravel()
    if graph == "denoiser":
        values = reference.pixels(values)
    if values.dtype == np.uint8:
        return values.ravel() / 255
    rounded = dtype == "uint8" or graph == "trajectory"
    return (np.round(values * 255.0) / 255 if rounded else values).ravel()


def _difference(differences: Differences) -> Difference:
    # A NaN would pass every comparison with a limit.
    apart = np.nan_to_num(np.concatenate(differences), nan=np.inf)
    return Difference(float(apart.max()), float(apart.mean()))


def _checked_for_cuda(
    bundle: Path, graphs: Sequence[str], description: Mapping[str, Any]
) -> dict[str, CudaCheck]:
    """The graphs that take steps; noise is drawn once, before them."""
    pixels = description["image"]["height"] * description["image"]["width"]
    names = [name for name in graphs if name != "noise"]
    return {name: check_cuda(onnx.load(bundle / f"{name}.onnx"), pixels) for name in names}


def _require_parity(certificate: Certificate, precision: str) -> None:
    remedy = (
        "Causes are weights that are not finite, a network that depends on more than its inputs, "
        "or one that computes with fewer digits than float32 has"
    )
    if precision == "float16":
        remedy = "Half precision is too coarse for it: export with precision=float32"
    for name, difference in certificate.comparisons():
        # Frames are uint8 whatever the images are, and rounding may fall to either side.
        least = 1 / 255 if "trajectory" in name else 0.0
        for kind, received, limit in (
            ("largest", difference.largest, max(certificate.tolerance, least)),
            ("mean", difference.mean, certificate.mean_tolerance),
        ):
            if received > limit * (1 + 1e-9):
                raise InputError(
                    f"parity: {name} differ by up to {received:.6f} ({kind}), expected at most "
                    f"{limit:.6f}; nothing was written. {remedy}"
                )
