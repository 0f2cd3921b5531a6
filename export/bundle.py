"""Writing a bundle: everything, checked, in one piece, or nothing."""

import contextlib
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import onnx

from ..trainer.config import PREDICTIONS
from ..trainer.diffusion import Denoiser
from ..trainer.errors import InputError
from ..trainer.schedule import CosineSchedule, Schedule
from .certificate import Certificate, certify, make_reference
from .manifest import essentials, metadata_props, write_manifest
from .onnx_graphs import onnx_graphs, set_metadata
from .options import GRAPHS, IMAGE_DTYPES, check_bundle_path, check_graphs
from .saved_model import write_saved_model
from .signatures import Signatures


def export_bundle(
    network: keras.Model,
    bundle: Path | str,
    *,
    pixel_mean: float | Sequence[float],
    pixel_std: float | Sequence[float],
    schedule: Schedule | None = None,
    prediction: str = "noise",
    clip: bool = True,
    graphs: Sequence[str] = GRAPHS,
    image_dtype: str = "uint8",
    overwrite: bool = False,
) -> Certificate:
    """Bake a network into a bundle with a DDIM sampler, and prove the parity of what was written.

    `network`, a functional Keras model, takes [noisy images float32 [N, H, W, C], times float32 [N]
    in [0, 1]] and returns
    float32 [N, H, W, C]: the noise, velocity or image by `prediction`. `pixel_mean` and `pixel_std`
    (one number, or one per channel, in units where pixels lie in [0, 1]) are what its images were
    normalised with; `schedule` is a `CosineSchedule()` unless given. Images come out as uint8, or
    float32 in [0, 1]. `bundle` is a folder that is there whole or not at all.

    Raises InputError for settings that do not fit, a `bundle` that exists without `overwrite`, and
    parity worse than the certificate's tolerance.
    """
    # Resolved, so that a link to a bundle keeps its place and what it leads to is replaced.
    bundle = Path(bundle).resolve()
    check_bundle_path(bundle, overwrite=overwrite)
    check_graphs(graphs)
    _check_choice("prediction", prediction, PREDICTIONS)
    _check_choice("image_dtype", image_dtype, IMAGE_DTYPES)
    shape = image_shape(network)
    denoiser = Denoiser(
        network,
        schedule or CosineSchedule(),
        prediction,
        _pixel_numbers("pixel_mean", pixel_mean, shape[-1], least=0),
        _pixel_numbers("pixel_std", pixel_std, shape[-1], least=1e-6),
        clip=clip,
    )
    signatures = Signatures(denoiser, shape, image_dtype)
    with _published(bundle) as folder:
        known = essentials(denoiser, signatures, network.count_params())
        models = onnx_graphs(signatures, graphs)
        set_metadata(models["sampler"], metadata_props(known))
        for name, model in models.items():
            onnx.save(model, folder / f"{name}.onnx")
        write_saved_model(signatures, network, folder / "saved_model")
        certificate = certify(
            folder,
            graphs,
            make_reference(denoiser, network),
            shape=shape,
            image_dtype=image_dtype,
        )
        write_manifest(folder, known, models, certificate)
    return certificate


def image_shape(network: keras.Model) -> tuple[int, int, int]:
    """Height, width and channels that a network denoises.

    Raises InputError for a network of another kind, in half precision, or with weights that are
    not finite.
    """
    if not isinstance(network, keras.Model) or not getattr(network, "inputs", None):
        raise InputError(
            f"network: got {type(network).__name__}, expected a functional keras.Model, whose "
            "inputs are known; wrap yours in keras.Model(inputs, outputs)"
        )
    inputs = [tuple(tensor.shape) for tensor in network.inputs]
    outputs = [tuple(tensor.shape) for tensor in network.outputs]
    fits = len(inputs) == 2 and len(inputs[0]) == 4 and None not in inputs[0][1:]
    if not fits or inputs[1] != (None,) or outputs != inputs[:1]:
        raise InputError(
            f"network: has inputs of shapes {inputs} and outputs of {outputs}, expected "
            "[(None, H, W, C), (None,)] and [(None, H, W, C)]: noisy images of a fixed size, a "
            "time for each, and the prediction"
        )
    for layer in network.layers:
        if layer.compute_dtype in ("float16", "bfloat16"):
            raise InputError(
                f"network: its layer {layer.name} computes in {layer.compute_dtype}, expected "
                "float32; build it with that dtype policy and give it the same weights"
            )
    for variable in network.variables:
        if not np.isfinite(np.asarray(variable.numpy(), np.float32)).all():
            raise InputError(
                f"network: its weight {variable.path} is not finite; export an earlier checkpoint, "
                "or train again with a lower learning rate"
            )
    return inputs[0][1:]


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


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise InputError(f"{name}={value}: expected one of {', '.join(choices)}")


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
    finally:
        if older.exists() and not bundle.exists():
            older.rename(bundle)
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(older, ignore_errors=True)
