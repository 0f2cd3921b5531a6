"""The parity certificate: proof that every baked form of a sampler is the sampler.

All graphs and signatures, as written to disk, run side by side with the float64 reference that
drives the same network, over several seeds, step counts and batch sizes. Only if they agree is
there a bundle.
"""

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ...trainer.errors import InputError
from ..graphs.cuda_check import CudaCheck, check_cuda
from .forms import Case, Form, onnx_forms, saved_model_forms
from .reference import ReferenceSampler
from .truth import Truth

SEEDS = (0, 12345, 2**32 + 7)
STEPS = (1, 20)
VERIFY_STEPS = (1, 2, 20, 50)
BATCHES = (1, 5)

# What float32 networks of different kernels drift apart over 20 steps, with room to spare.
FLOAT_TOLERANCE = 1e-3
# How far the outputs of one network, of size 1, are apart in different kernels.
KERNEL_DIFFERENCE = 1e-6
WIDEST_TOLERANCE = 8 / 255
HALF_PRECISION_MEAN = 1 / 255

ONNX, SAVED_MODEL = "sampler.onnx", "saved_model serving_default"


@dataclass(frozen=True)
class Difference:
    """Largest and mean absolute difference of pixels, in units where pixels lie in [0, 1]."""

    largest: float
    mean: float


@dataclass(frozen=True)
class Certificate:
    """How far each form of the bundle is from the reference, and on what they were compared.

    No largest difference is more than `tolerance`, and no mean more than `mean_tolerance`.
    `onnx_to_saved_model` is None where there is no SavedModel. `cuda` says what of each ONNX graph
    a GPU has no kernels for.
    """

    seeds: tuple[int, ...]
    steps: tuple[int, ...]
    batches: tuple[int, ...]
    tolerance: float
    mean_tolerance: float
    to_reference: dict[str, Difference]
    onnx_to_saved_model: Difference | None
    cuda: dict[str, CudaCheck]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without what there is none of."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        return json.loads(json.dumps(values))

    def comparisons(self) -> Iterator[tuple[str, Difference]]:
        """All comparisons with their names in words."""
        for name, difference in self.to_reference.items():
            yield f"{name} to float64 reference", difference
        if self.onnx_to_saved_model is not None:
            yield f"{ONNX} to {SAVED_MODEL}", self.onnx_to_saved_model

    def table(self) -> str:
        """The comparisons as lines of text."""
        lines = [
            f"  {name:50} largest {255 * d.largest:6.3f}/255   mean {255 * d.mean:8.5f}/255"
            for name, d in self.comparisons()
        ]
        return "\n".join([*lines, *self._cuda_lines()])

    def _cuda_lines(self) -> Iterator[str]:
        for name, check in self.cuda.items():
            for fallback in check.fallbacks:
                yield f"  {name}.onnx on CUDA: no kernel for {fallback}"
            if check.noise_nodes:
                yield f"  {name}.onnx on CUDA: the CPU draws fresh noise, copied in each step"
        if not any(check.fallbacks for check in self.cuda.values()):
            yield "  All operators of the network and the steps have CUDA kernels in onnxruntime."


def certify(
    bundle: Path,
    graphs: Sequence[str],
    known: Mapping[str, Any],
    reference: ReferenceSampler,
    *,
    steps: Sequence[int] = STEPS,
) -> Certificate:
    """Run every form that lies in the bundle; InputError where one differs by too much.

    `known` are the essentials of the manifest. The two samplers run on all cases, the other forms
    on those of the first seed with the largest batch.
    """
    forms = list(onnx_forms(bundle, graphs, known))
    if (bundle / "saved_model").is_dir():
        forms += saved_model_forms(bundle, known)
    unrolled = known["sampler"].get("unrolled") or {}
    class_names = known["model"].get("class_names", [])
    batches = _with(BATCHES, unrolled.get("batch"))
    steps = _with(steps, unrolled.get("steps"))
    found: dict[str, list[np.ndarray]] = {form.name: [] for form in forms}
    expected: dict[str, list[np.ndarray]] = {form.name: [] for form in forms}
    apart = []
    for seeds, count in _cases(batches, steps):
        truth = Truth(reference, seeds, count, known["image"], len(class_names))
        made = {f.name: f.run(truth.case) for f in forms if _runs(f, truth.case, max(batches))}
        for form in (form for form in forms if form.name in made):
            found[form.name].append(_unit(made[form.name], form, reference, known))
            expected[form.name].append(_unit(truth.result(form), form, reference, known))
        if ONNX in made and SAVED_MODEL in made:
            apart.append((found[ONNX][-1], found[SAVED_MODEL][-1]))
    certificate = Certificate(
        SEEDS,
        tuple(steps),
        tuple(batches),
        *tolerances(reference, known),
        {name: _difference(found[name], expected[name]) for name in found},
        _difference(*zip(*apart, strict=True)) if apart else None,
        _checked_for_cuda(bundle, graphs, known),
    )
    frames = {form.name for form in forms if form.kind == "frames"}
    _require_parity(certificate, frames, known["model"]["precision"])
    return certificate


def _checked_for_cuda(
    bundle: Path, graphs: Sequence[str], known: Mapping[str, Any]
) -> dict[str, CudaCheck]:
    """The graphs that take steps; noise is drawn once, before them."""
    pixels = known["image"]["height"] * known["image"]["width"]
    return {
        name: check_cuda(onnx.load(bundle / f"{name}.onnx"), pixels)
        for name in graphs
        if name != "noise"
    }


def reference_of(known: Mapping[str, Any], network: Callable[..., np.ndarray]) -> ReferenceSampler:
    """The float64 reference of what a manifest's essentials describe.

    `network` maps noisy images float32 [N, H, W, C], conditions float32 [N], and for a model of
    classes a `ReferenceConditioning`, to its prediction.
    """
    sampler = known["sampler"]
    return ReferenceSampler(
        network,
        known["schedule"],
        known["model"]["prediction"],
        known["pixel_mean"],
        known["pixel_std"],
        clip=sampler["clip"],
        conditioning=known["model"]["conditioning"],
        solver=sampler["solver"],
        eta=sampler["eta"],
        time_grid=sampler["time_grid"],
    )


def tolerances(reference: ReferenceSampler, known: Mapping[str, Any]) -> tuple[float, float]:
    """The largest difference of a pixel to be had of the precision, and the largest mean.

    In units where pixels lie in [0, 1]. Floats: 1e-3. uint8: one level, since rounding may fall to
    either side. Both are wider where the network predicts noise and almost no signal is left at
    t = 1, for x̂_0 = (x − noise·ε̂)/signal magnifies every difference by noise/signal: 50 for the
    default schedule, but 20,000 for `ddpm_cosine`. Beyond 8/255 it would prove nothing. Networks in
    half precision have those 8/255, and a mean of one.
    """
    if known["model"]["precision"] == "float16":
        return WIDEST_TOLERANCE, HALF_PRECISION_MEAN
    signal_rate, noise_rate = reference.rates(1.0)
    magnified = noise_rate / signal_rate if known["model"]["prediction"] == "noise" else 1.0
    apart = KERNEL_DIFFERENCE * magnified * max(reference.pixel_std)
    levels = (math.floor(255 * apart) + 1) / 255
    largest = levels if known["image"]["dtype"] == "uint8" else max(FLOAT_TOLERANCE, apart)
    largest = min(largest, WIDEST_TOLERANCE)
    return largest, largest


def _with(numbers: Sequence[int], another: int | None) -> list[int]:
    return sorted({*numbers, *([another] if another else [])})


def _cases(batches: Sequence[int], steps: Sequence[int]) -> Iterator[tuple[np.ndarray, int]]:
    for batch in batches:
        for first in SEEDS:
            for count in steps:
                yield np.arange(first, first + batch, dtype=np.int64), count


def _runs(form: Form, case: Case, largest_batch: int) -> bool:
    if form.name in (ONNX, SAVED_MODEL):
        return form.takes(case)
    largest = len(case.seeds) == (form.batch or largest_batch)
    return form.takes(case) and largest and case.seeds[0] == SEEDS[0]


def _unit(
    values: np.ndarray, form: Form, reference: ReferenceSampler, known: Mapping[str, Any]
) -> np.ndarray:
    """Pixels in [0, 1], float64 [n], as fine as the images are; noise in their units."""
    if form.kind == "encoded":
        return (np.asarray(values, np.float64) * np.asarray(reference.pixel_std)).ravel()
    if form.kind == "denoised":
        values = reference.pixels(values)
    if values.dtype == np.uint8:
        return values.ravel() / 255
    rounded = known["image"]["dtype"] == "uint8" or form.kind == "frames"
    return (np.round(values * 255.0) / 255 if rounded else values).ravel()


def _difference(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> Difference:
    # A NaN would pass every comparison with a limit.
    apart = np.nan_to_num(np.abs(np.concatenate(a) - np.concatenate(b)), nan=np.inf)
    return Difference(float(apart.max()), float(apart.mean()))


def _require_parity(certificate: Certificate, frames: Collection[str], precision: str) -> None:
    remedy = (
        "Half precision is too coarse for it: export with precision=float32"
        if precision == "float16"
        else "Weights that are not finite, a network that depends on more than its inputs, or one "
        "that computes with fewer digits than float32 has, make this"
    )
    for name, difference in certificate.comparisons():
        # Frames are uint8 whatever the images are, and rounding may fall to either side.
        least = 1 / 255 if name.split(" to ")[0] in frames else 0.0
        largest = max(certificate.tolerance, least)
        for kind, received, limit in (
            ("largest", difference.largest, largest),
            ("mean", difference.mean, certificate.mean_tolerance),
        ):
            if received > limit * (1 + 1e-9):
                raise InputError(
                    f"parity: {name} differ by up to {received:.6f} ({kind}), expected at most "
                    f"{limit:.6f}; nothing was written. {remedy}"
                )
