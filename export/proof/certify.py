"""The parity certificate: proof that every baked form of a sampler is the sampler.

It compares all graphs and signatures of a bundle, as written to disk, with the float64 reference.
Both drive the same network, over several seeds, step counts and batch sizes. Only if they agree is
there a bundle, and its manifest holds the certificate.
"""

import contextlib
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ...trainer.errors import InputError
from ...trainer.maths import units
from ..graphs.cuda_check import CudaCheck, check_cuda
from .comparison import ONNX, SAVED_MODEL, SEEDS, Differences, compare
from .forms import litert_forms, onnx_forms, saved_model_forms
from .reference import ReferenceSampler
from .reference_codec import shape_of

TO_REFERENCE = " to float64 reference"
STEPS = (1, 20)
VERIFY_STEPS = (1, 2, 20, 50)
BATCHES = (1, 5)

# How far float32 networks of different kernels drift apart over 20 steps, with room to spare.
FLOAT_TOLERANCE = units.FLOAT_TOLERANCE
# How far the outputs of one network, of size 1, are apart in different kernels.
KERNEL_DIFFERENCE = 1e-6
# By how much more they may be where nothing clips x̂_0 in any step.
UNCLIPPED = 4
WIDEST_TOLERANCE = 8 / 255
HALF_PRECISION_MEAN = 1 / 255

# Where wrong settings begin: photographs have far fewer pixels at the ends of their range.
MOST_SATURATED = 0.5

_LOG = logging.getLogger("diffkiln.export")


class ParityError(InputError):
    """A form of a bundle differs from the reference, by `received`, more than it may."""

    def __init__(self, form: str, received: float, message: str) -> None:
        super().__init__(message)
        self.form, self.received = form, received


@dataclass(frozen=True)
class Difference:
    """Largest and mean absolute difference of pixels, in units where pixels lie in [0, 1].

    Of arrays, in units of their standard deviation.
    """

    largest: float
    mean: float


@dataclass(frozen=True)
class Certificate:
    """How far each form of the bundle is from the reference, and on what they were compared.

    No largest difference is more than `tolerance`, and no mean more than `mean_tolerance`.
    `onnx_to_saved_model` is None where there is no SavedModel. `cuda` says what of each ONNX graph
    a GPU has no kernels for. `unit` names the unit of the differences, unless they are in pixels.
    """

    seeds: tuple[int, ...]
    steps: tuple[int, ...]
    batches: tuple[int, ...]
    tolerance: float
    mean_tolerance: float
    to_reference: dict[str, Difference]
    onnx_to_saved_model: Difference | None
    cuda: dict[str, CudaCheck]
    unit: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without entries that are None."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        return json.loads(json.dumps(values))

    def comparisons(self) -> Iterator[tuple[str, Difference]]:
        """All comparisons with their names in words."""
        for name, difference in self.to_reference.items():
            yield f"{name}{TO_REFERENCE}", difference
        if self.onnx_to_saved_model is not None:
            yield f"{ONNX} to {SAVED_MODEL}", self.onnx_to_saved_model

    def table(self) -> str:
        """The comparisons as lines of text, below a title."""
        unit = f", in units of the {self.unit}" if self.unit else ""
        lines = [f"Parity over seeds {list(self.seeds)}, steps {list(self.steps)}{unit}:"]
        lines += [f"  {name:50} {self._in_words(each)}" for name, each in self.comparisons()]
        for name, check in self.cuda.items():
            lines += [f"  {name}.onnx on CUDA: no kernel for {each}" for each in check.fallbacks]
            if check.noise_nodes:
                lines += [f"  {name}.onnx on CUDA: the CPU draws fresh noise, copied in each step"]
        if not any(check.fallbacks for check in self.cuda.values()):
            lines += [
                "  All operators of the network and the steps have CUDA kernels in onnxruntime."
            ]
        return "\n".join(lines)

    def _in_words(self, difference: Difference) -> str:
        largest, mean = difference.largest, difference.mean
        if self.unit:
            return f"largest {largest:.1e}   mean {mean:.1e}"
        return f"largest {255 * largest:6.3f}/255   mean {255 * mean:8.5f}/255"


def certify(
    bundle: Path,
    graphs: Sequence[str],
    description: Mapping[str, Any],
    reference: ReferenceSampler,
    *,
    steps: Sequence[int] = STEPS,
) -> Certificate:
    """Run every form that lies in the bundle; ParityError where one differs by too much.

    `description` holds the essentials of the manifest. The two samplers run on all cases, the other
    forms only on the first seed with the largest batch. For a network with jumps, the reference may
    be told the times as float32 rounds them.
    """
    try:
        return _certify(bundle, graphs, description, reference, steps)
    except ParityError:
        rounding = replace(reference, float32_times=True)
        with contextlib.suppress(ParityError):
            return _certify(bundle, graphs, description, rounding, steps)
        raise


def _certify(
    bundle: Path,
    graphs: Sequence[str],
    description: Mapping[str, Any],
    reference: ReferenceSampler,
    steps: Sequence[int],
) -> Certificate:
    unrolled = description["sampler"].get("unrolled") or {}
    batches = sorted({*BATCHES, unrolled.get("batch") or BATCHES[0]})
    learned = description["sampler"].get("tables", {}).get("by_steps", {})
    most = description["sampler"]["max_steps"]
    steps = sorted({*steps, unrolled.get("steps") or steps[0], *map(int, learned)})
    steps = sorted({min(count, most) for count in steps})
    forms = list(onnx_forms(bundle, graphs, description))
    forms += litert_forms(bundle, graphs, description)
    if (bundle / "saved_model").is_dir():
        forms += saved_model_forms(bundle, description)
    comparison = compare(forms, description, reference, batches, steps)
    *places, _ = shape_of(description)
    # Noise is drawn once, before the steps.
    files = {name: bundle / f"{name}.onnx" for name in graphs if name != "noise"}
    certificate = Certificate(
        SEEDS,
        tuple(steps),
        tuple(batches),
        *tolerances(reference, description),
        {name: _difference(apart) for name, apart in comparison.to_reference.items()},
        _difference(comparison.to_each_other) if comparison.to_each_other else None,
        {name: check_cuda(onnx.load(file), math.prod(places)) for name, file in files.items()},
        "standard deviation" if "array" in description else None,
    )
    _require_parity(certificate, description["model"]["precision"])
    for name, apart in comparison.to_alone.items():
        _require_alone_as_together(name, _difference(apart).largest, certificate.tolerance)
    if certificate.unit is None:
        _warn_of_saturation(comparison.drawn)
    return certificate


def tolerances(reference: ReferenceSampler, description: Mapping[str, Any]) -> tuple[float, float]:
    """The largest difference of a pixel that the precision allows, and the largest mean.

    In units where pixels lie in [0, 1]. Floats: 1e-3. uint8: one level, since rounding may fall to
    either side. Both are wider where the network predicts noise and almost no signal is left at
    t = 1, for x̂_0 = (x − noise·ε̂)/signal magnifies every difference by noise/signal: 50 for the
    default schedule, but 20,000 for `ddpm_cosine`. Beyond 8/255 it would prove nothing. Networks in
    half precision have those 8/255, and a mean of one. Arrays are compared in units of their
    standard deviation, with the tolerances of floats. A cascade has the wider ones of its stages.
    """
    if reference.second is not None:
        first, further = replace(reference, second=None), reference.second.sampler
        stage = {**description["then"], "image": description["image"]}
        both = zip(tolerances(first, description), tolerances(further, stage), strict=True)
        largest, mean = map(max, both)
        return largest, mean
    if description["model"]["precision"] == "float16":
        return WIDEST_TOLERANCE, HALF_PRECISION_MEAN
    signal_rate, noise_rate = reference.rates(1.0)
    magnified = noise_rate / signal_rate if description["model"]["prediction"] == "noise" else 1.0
    if "array" in description:
        apart = UNCLIPPED * KERNEL_DIFFERENCE * magnified
        largest = min(max(FLOAT_TOLERANCE, apart), WIDEST_TOLERANCE)
        return largest, largest
    codec = reference.codec
    apart = KERNEL_DIFFERENCE * magnified * max(codec.std if codec else reference.pixel_std)
    apart *= UNCLIPPED if codec else 1
    levels = (math.floor(255 * apart) + 1) / 255
    largest = levels if description["image"]["dtype"] == "uint8" else max(FLOAT_TOLERANCE, apart)
    largest = min(largest, WIDEST_TOLERANCE)
    return largest, largest


def _difference(differences: Differences) -> Difference:
    # A NaN would pass every comparison with a limit.
    apart = np.nan_to_num(np.concatenate(differences), nan=np.inf)
    return Difference(float(apart.max()), float(apart.mean()))


def _require_alone_as_together(form: str, received: float, limit: float) -> None:
    if received > limit * (1 + 1e-9):
        raise ParityError(
            form,
            received,
            f"parity: {form} draws a seed alone and among others with a difference of up to "
            f"{received:.6f}, expected at most {limit:.6f}; nothing was written. Look for a layer "
            "of the network that takes a mean over the batch",
        )


def _warn_of_saturation(drawn: np.ndarray) -> None:
    """Say it if pixels are at the ends of their range as they are when settings are wrong."""
    saturated = float(np.mean((drawn <= 0) | (drawn >= 1)))
    if saturated > MOST_SATURATED:
        _LOG.warning(
            "%.0f%% of the drawn pixels are completely dark or completely bright. If the network "
            "was trained on other pictures, and for long enough, check prediction, schedule, "
            "conditioning, pixel_mean and pixel_std",
            100 * saturated,
        )


def _require_parity(certificate: Certificate, precision: str) -> None:
    remedy = (
        "Either the network amplifies rounding errors of float32, or one of its layers was "
        "converted wrongly: leave parts of it out to find which"
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
                raise ParityError(
                    name.removesuffix(TO_REFERENCE),
                    received,
                    f"parity: {name} differ by up to {received:.6f} ({kind}), expected at most "
                    f"{limit:.6f}; nothing was written. {remedy}",
                )
