"""The manifest of a bundle, and the golden vectors that let another host check its noise."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from ..runtime.bundle.manifest import FORMAT, MANIFEST, check_manifest
from ..runtime.errors import BundleError
from ..runtime.limits import MAX_GUIDANCE
from ..trainer.config import SCHEDULES
from ..trainer.errors import InputError
from ..trainer.maths.sampling import Sampling
from ..trainer.maths.tables import Tables
from ..trainer.run.directory import package_versions
from .baking.noise import CASCADE_NOISE_VERSION, NOISE_VERSION, UPSCALING_STREAM
from .baking.signatures import Signatures
from .network.places import CHANNELS_FIRST
from .options import Baking
from .proof.certify import Certificate
from .proof.reference_noise import reference_noise, reference_words

DEFAULT_STEPS = 20
# With a table; pictures of more steps look the same (docs/report.md).
DEFAULT_LEARNED_STEPS = 5
DEFAULT_STUDENT_STEPS = 4
DEFAULT_GUIDANCE = 2.0
_GOLDEN = ((0, 0), (1, 0), (1, 1), (2**32 + 7, 0), (2**62, 0))
_PACKAGES = ("diffkiln", "tensorflow", "keras", "numpy", "onnx", "tf2onnx", "onnxruntime")


def essentials(
    signatures: Signatures,
    baking: Baking,
    parameters: int,
    class_names: Sequence[str] = (),
    levels: Sequence[float] | None = None,
    fit: str = "crop",
    then: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What a host needs to know of the model, whether it has the manifest or one graph.

    `then` is what the second stage of a cascade says of itself.
    """
    denoiser = signatures.sampling.denoiser
    conditions = [condition.describe() for condition in signatures.conditions]
    model = {
        "parameters": parameters,
        "prediction": denoiser.prediction,
        "conditioning": denoiser.conditioning,
        "precision": baking.precision,
        **_if_set("weight_storage", None if baking.weight_storage == "float32" else "float16"),
        **({} if denoiser.first_timestep else {"first_timestep": 0}),
        **({"guidance_range": [*denoiser.guidance_range]} if denoiser.guidance_range else {}),
        **({"class_names": list(class_names)} if class_names else {}),
    }
    return {
        "format": FORMAT,
        "format_version": _format_version(signatures, baking),
        **_samples(signatures, levels, fit),
        "model": model,
        "schedule": denoiser.schedule.describe(),
        **_pixels(signatures),
        **_if_set("then", then),
        "sampler": _sampler(signatures, baking),
        **({"conditions": conditions} if conditions else {}),
        "noise": _noise(signatures),
        "versions": package_versions(_PACKAGES),
    }


def _noise(signatures: Signatures) -> dict[str, Any]:
    """The version of the noise, and golden vectors of it."""
    if signatures.upscaler is None:
        return {"version": NOISE_VERSION, "golden": [_golden(*pair) for pair in _GOLDEN]}
    pairs = (*_GOLDEN, (1, UPSCALING_STREAM))
    return {"version": CASCADE_NOISE_VERSION, "golden": [_golden(*pair) for pair in pairs]}


def _samples(signatures: Signatures, levels: Sequence[float] | None, fit: str) -> dict[str, Any]:
    """What is drawn: images, or arrays with their mean and standard deviation."""
    denoiser, shape = signatures.sampling.denoiser, signatures.shape
    about: dict[str, Any] = {}
    if signatures.is_of_arrays:
        statistics = {"mean": list(denoiser.pixel_mean), "std": list(denoiser.pixel_std)}
        entry = "array" if signatures.codec is None else "latent"
        about = {entry: {"shape": list(shape), **statistics}}
        if signatures.codec is not None and signatures.codec.places == CHANNELS_FIRST:
            about[entry]["channels_first"] = True
    if "array" in about:
        return about
    shape = signatures.sample_shape
    image: dict[str, Any] = dict(zip(("height", "width", "channels"), shape, strict=True))
    image["dtype"] = signatures.image_dtype
    image |= _if_set("levels", None if levels is None else list(map(float, levels)))
    image |= _if_set("fit", None if fit == "crop" else fit)
    return {"image": image, **about}


def _pixels(signatures: Signatures) -> dict[str, Any]:
    """Mean and standard deviation of images."""
    denoiser, codec = signatures.sampling.denoiser, signatures.codec
    if codec is not None:
        return {"pixel_mean": list(codec.mean), "pixel_std": list(codec.std)}
    if denoiser.arrays:
        return {}
    return {"pixel_mean": list(denoiser.pixel_mean), "pixel_std": list(denoiser.pixel_std)}


def _format_version(signatures: Signatures, baking: Baking) -> int:
    """The lowest that describes the bundle, so that older readers take those without tables."""
    if signatures.upscaler is not None:
        return 6
    if signatures.is_of_arrays:
        return 5
    if signatures.takes_guidance:
        return 4
    if signatures.conditions:
        return 3
    sampling, denoiser = signatures.sampling, signatures.sampling.denoiser
    newer = (
        sampling.tables is not None
        or baking.numbers_as_lists
        or denoiser.dynamic_threshold is not None
        or denoiser.learned_variance
        or denoiser.first_timestep == 0
        or denoiser.conditioning in ("sigma", "c_noise")
        or denoiser.schedule.describe()["name"] not in SCHEDULES
    )
    return 2 if newer else 1


def _sampler(signatures: Signatures, baking: Baking) -> dict[str, Any]:
    steps, guidance = baking.unroll_steps, baking.default_guidance
    sampling = signatures.sampling
    # A network with conditions need not have been trained without them.
    classes = sampling.denoiser.num_classes is not None
    own = DEFAULT_GUIDANCE if classes else 1.0
    least, most = sampling.denoiser.guidance_range or (0.0, MAX_GUIDANCE)
    guidance = min(max(own, least), most) if guidance is None else float(guidance)
    most = sampling.denoiser.schedule.max_steps
    return {
        "solver": baking.solver,
        "eta": baking.eta,
        "clip": sampling.denoiser.clip,
        "time_grid": baking.time_grid,
        **_if_set("variance", "learned" if sampling.denoiser.learned_variance else None),
        **_if_set("dynamic_threshold", sampling.denoiser.dynamic_threshold),
        "default_steps": steps or min(_default_steps(sampling, guidance), most),
        "max_steps": most,
        "unrolled": {"steps": steps, "batch": baking.batch_size} if steps else None,
        **({"default_guidance": guidance} if signatures.is_guided else {}),
        **({} if sampling.tables is None else _of_tables(sampling.tables, steps, most)),
    }


def _if_set(name: str, value: Any) -> dict[str, Any]:
    return {} if value is None else {name: value}


def _of_tables(tables: Tables, unrolled: int | None, most: int) -> dict[str, Any]:
    outside = tables.guidance is not None and not unrolled
    return {
        **({"default_steps_outside": min(DEFAULT_STEPS, most)} if outside else {}),
        "tables": tables.to_json(),
    }


def _default_steps(sampling: Sampling, guidance: float) -> int:
    """The least count that is enough, if pictures without guidance, and with the default, have one.

    Too few steps without a table would be bad pictures without a word. A student has learned no
    others than those of its tables.
    """
    tables, student = sampling.tables, sampling.denoiser.guidance_range is not None
    if tables is None:
        return DEFAULT_STEPS
    if tables.guidance is not None:
        low, high = tables.guidance
        if not low <= 1 <= high or not low <= guidance <= high:
            return DEFAULT_STEPS
    least = DEFAULT_STUDENT_STEPS if student else DEFAULT_LEARNED_STEPS
    enough = (count for count in tables.counts if count >= least)
    return next(enough, max(tables.counts) if student else DEFAULT_STEPS)


def write_manifest(
    folder: Path,
    description: Mapping[str, Any],
    graphs: dict[str, onnx.ModelProto],
    certificate: Certificate,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write bundle.json about the files that lie in `folder`, with the SHA-256 of each.

    Raises InputError, which names the first entry that its schema does not allow.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    litert = {path.stem: path.name for path in files if path.suffix == ".tflite"}
    content = {
        **description,
        **({"training": dict(training)} if training else {}),
        "graphs": {name: _describe(name, model) for name, model in graphs.items()},
        **({"litert": litert} if litert else {}),
        "certificate": certificate.to_json(),
        "files": {path.relative_to(folder).as_posix(): describe_file(path) for path in files},
    }
    try:
        check_manifest(content, folder / MANIFEST)
    except BundleError as error:
        raise InputError(str(error)) from error
    (folder / MANIFEST).write_bytes(json.dumps(content, indent=2).encode() + b"\n")


def _golden(seed: int, stream: int) -> dict:
    """Words and numbers at the start of a seed's noise; the numbers are float64."""
    a, b = reference_words(seed, 2, stream=stream)
    noise = reference_noise([seed], (1, 1, 4), stream=stream)
    words = [[int(x), int(y)] for x, y in zip(a, b, strict=True)]
    return {"seed": seed, "stream": stream, "words": words, "noise": noise.ravel().tolist()}


def _describe(name: str, model: onnx.ModelProto) -> dict:
    return {
        "file": f"{name}.onnx",
        "opset": model.opset_import[0].version,
        "inputs": [_tensor(value) for value in model.graph.input],
        "outputs": [_tensor(value) for value in model.graph.output],
    }


def _tensor(value: onnx.ValueInfoProto) -> dict:
    tensor = value.type.tensor_type
    shape = [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return {"name": value.name, "dtype": dtype, "shape": shape}


def describe_file(path: Path) -> dict[str, Any]:
    """SHA-256 and size of a file."""
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
