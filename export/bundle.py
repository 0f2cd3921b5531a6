"""Writing a bundle: everything, checked, in one piece, or nothing."""

import contextlib
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..runtime.bundle.manifest import EXPORT_AGAIN
from ..runtime.bundle.seal import sealed
from ..trainer.config import CONDITIONINGS, MOST_CLASSES, PREDICTIONS
from ..trainer.errors import InputError, check_choice
from ..trainer.maths.diffusion import Denoiser
from ..trainer.maths.sampling import Sampling
from ..trainer.maths.schedules import CosineSchedule, Schedule
from .baking.network import adapted, image_shape
from .baking.saved_model import write_saved_model
from .baking.signatures import Signatures
from .graphs.assemble import OnnxExporter, set_metadata
from .graphs.conversion import convert
from .graphs.half_precision import half_precision, require_finite
from .manifest import Classes, essentials, metadata_props, write_manifest
from .options import GRAPHS, MOST_NAME_CHARACTERS, check_baking, check_bundle_path
from .proof.certificate import Certificate, certify, reference_of
from .proof.reference import guided
from .proof.reference_noise import reference_noise
from .verify import open_all


def export_bundle(
    network: keras.Model,
    bundle: Path | str,
    *,
    pixel_mean: float | Sequence[float],
    pixel_std: float | Sequence[float],
    schedule: Schedule | None = None,
    prediction: str = "noise",
    conditioning: str = "time",
    clip: bool = True,
    time_grid: str = "linear",
    solver: str = "ddim",
    eta: float = 0.0,
    graphs: Sequence[str] = GRAPHS,
    image_dtype: str = "uint8",
    precision: str = "float32",
    unroll_steps: int | None = None,
    batch_size: int | None = None,
    class_names: Sequence[str] = (),
    default_guidance: float | None = None,
    saved_model: bool = True,
    training: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Certificate:
    """Bake a network and its sampler into a bundle, and prove the parity of what was written.

    `network`, a functional Keras model, takes [noisy images float32 [N, H, W, C], condition [N],
    [N, 1] or [N, 1, 1, 1]], with 1 to 4 channels, and returns float32 [N, H, W, C]: the noise,
    velocity or image by `prediction`. The condition, by `conditioning`, is the `time` in [0, 1],
    the `timestep` n = 1 … T of a discrete schedule, the `noise_variance` noise², the `noise_rate`,
    or `log_snr` = ln(signal²/noise²). `pixel_mean` and `pixel_std` (one number, or one per channel,
    in units where pixels lie in [0, 1]) are what its images were normalised with; `schedule` is a
    `CosineSchedule()` unless given. `clip` holds x̂_0 in the range of pixels.

    `solver` (`ddim`, with η from 0 to 1, or `dpmpp_2m`) and `time_grid` (`linear`, `linspace`,
    `quadratic`, `karras`) are baked in. `graphs` are the ONNX files; images go in and come out as
    uint8, or float32 in [0, 1]. With `precision="float16"` their networks have weights and compute
    in half precision. `unroll_steps` writes that many steps out instead of a Loop, for `batch_size`
    images if given. `bundle` is a folder that is there whole or not at all.

    With `class_names`, the network takes labels [N] third, numbers of classes or −1 for none, and
    the graphs take `labels` int64 [N] and `guidance` float32 [] last. `default_guidance` (2) is
    what programs use unless they are told. Without `saved_model` the bundle is ONNX alone, and made
    in half the time. `training`, JSON values, stands in the manifest as it is.

    Raises InputError for settings that do not fit, a network that ONNX cannot express, a `bundle`
    that exists without `overwrite`, and parity worse than the certificate's tolerance; OSError if
    the bundle cannot be written.
    """
    # Resolved, so that a link to a bundle keeps its place and what it leads to is replaced.
    bundle = Path(bundle).resolve()
    check_bundle_path(bundle, overwrite=overwrite)
    check_choice("prediction", prediction, PREDICTIONS)
    check_choice("conditioning", conditioning, CONDITIONINGS)
    check_baking(
        {
            "solver": solver,
            "eta": eta,
            "time_grid": time_grid,
            "graphs": graphs,
            "image_dtype": image_dtype,
            "precision": precision,
            "unroll_steps": unroll_steps,
            "batch_size": batch_size,
            "default_guidance": default_guidance,
        }
    )
    classes = _classes(class_names, default_guidance)
    shape = image_shape(network, classes=bool(class_names))
    denoiser = Denoiser(
        adapted(network),
        schedule or CosineSchedule(),
        prediction,
        _pixel_numbers("pixel_mean", pixel_mean, shape[-1], least=0),
        _pixel_numbers("pixel_std", pixel_std, shape[-1], least=1e-6),
        clip=clip,
        conditioning=conditioning,
        num_classes=len(class_names) or None,
    )
    signatures = Signatures(Sampling(denoiser, solver, eta, time_grid), shape, image_dtype)
    plain = convert(signatures.network)
    flat = half_precision(plain) if precision == "float16" else plain
    exporter = OnnxExporter(signatures, flat, unroll_steps, batch_size)
    with _published(bundle) as folder:
        known = essentials(exporter, network.count_params(), precision, classes)
        models = {name: exporter.graph(name) for name in graphs}
        set_metadata(models["sampler"], metadata_props(known))
        if precision == "float16":
            seeds = np.array([0, 1], np.int64)
            noise = reference_noise(seeds.tolist(), shape).astype(np.float32)
            labels = seeds % max(len(class_names), 1)
            require_finite(exporter.graph("step"), noise, seeds, labels)
        for name, model in models.items():
            (folder / f"{name}.onnx").write_bytes(sealed(model.SerializeToString()))
        # A function of its own is traced, and written, once for all that call it.
        function = signatures.network
        if saved_model:
            calling = signatures.with_network(lambda inputs: function(*inputs)["prediction"])
            write_saved_model(calling, network, folder / "saved_model")
        called = _callable(function)
        reference = reference_of(known, guided(called) if classes else called)
        certificate = certify(folder, graphs, known, reference)
        write_manifest(folder, known, models, certificate, training)
        _require_openable(folder)
    return certificate


def _require_openable(folder: Path) -> None:
    """Raise InputError for a bundle that the runtime would refuse."""
    try:
        open_all(folder)
    except InputError as error:
        reason = str(error).replace(f"{folder}/", "").removesuffix(f"; {EXPORT_AGAIN}")
        raise InputError(
            f"network: the runtime would refuse its bundle, so nothing was written: {reason}"
        ) from error


def _callable(function: Any) -> Callable[..., np.ndarray]:
    return lambda *inputs: function(*map(tf.constant, inputs))["prediction"].numpy()


def _classes(names: Sequence[str], default_guidance: float | None) -> Classes | None:
    if not names:
        if default_guidance is not None:
            raise InputError(
                f"default_guidance={default_guidance:g}: the model knows no classes; leave it out"
            )
        return None
    if len(names) > MOST_CLASSES or len(set(names)) < len(names) or not all(map(_usable, names)):
        raise InputError(
            f"class_names: got {len(names)} names, expected at most {MOST_CLASSES}, each another "
            f"text of 1 to {MOST_NAME_CHARACTERS} characters on one line"
        )
    return Classes(tuple(names), 2.0 if default_guidance is None else float(default_guidance))


def _usable(name: str) -> bool:
    return 0 < len(name.strip()) <= MOST_NAME_CHARACTERS and name.isprintable()


def _pixel_numbers(
    name: str, values: float | Sequence[float], channels: int, *, least: float
) -> tuple[float, ...]:
    """One number per channel, each from `least` to 1."""
    numbers = np.atleast_1d(np.asarray(values, np.float64))
    numbers = np.repeat(numbers, channels) if numbers.size == 1 else numbers
    if numbers.shape != (channels,) or not np.all((least <= numbers) & (numbers <= 1)):
        raise InputError(
            f"{name}={values}: expected one number, or one for each of {channels} channels, from "
            f"{least:g} to 1, in units where pixels lie in [0, 1]"
        )
    return tuple(numbers.tolist())


@contextlib.contextmanager
def _published(bundle: Path) -> Iterator[Path]:
    """A temporary sibling to fill that becomes the bundle at the end, or disappears.

    An older bundle steps aside only for the moment of the renaming, and comes back if that is as
    far as it got.
    """
    unique = uuid.uuid4().hex
    part = bundle.with_name(f".{bundle.name}.{unique}.part")
    older = bundle.with_name(f".{bundle.name}.{unique}.old")
    part.mkdir()
    try:
        yield part
        if bundle.exists():
            bundle.rename(older)
        part.rename(bundle)
    except OSError as error:
        raise OSError(
            f"bundle={bundle}: could not be written, and nothing of it is left: {error}"
        ) from error
    finally:
        if older.exists() and not bundle.exists():
            older.rename(bundle)
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(older, ignore_errors=True)
