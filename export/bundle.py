"""Writing a bundle: everything, checked, in one piece, or nothing."""

import contextlib
import os
import shutil
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
    pixel_mean: Sequence[float],
    pixel_std: Sequence[float],
    schedule: Schedule | None = None,
    prediction: str = "noise",
    clip: bool = True,
    graphs: Sequence[str] = GRAPHS,
    image_dtype: str = "uint8",
    overwrite: bool = False,
) -> Certificate:
    """Bake a network into a bundle with a DDIM sampler, and prove the parity of what was written.

    `network` takes [noisy images float32 [N, H, W, C], times float32 [N] in [0, 1]] and returns
    float32 [N, H, W, C]: the noise, velocity or image by `prediction`. `pixel_mean` and `pixel_std`
    (one number per channel, in units where pixels lie in [0, 1]) are what its images were
    normalised with; `schedule` is a `CosineSchedule()` unless given. Images come out as uint8, or
    float32 in [0, 1]. `bundle` is a folder that is there whole or not at all.

    Raises InputError for settings that do not fit, a `bundle` that exists without `overwrite`, and
    parity worse than the certificate's tolerance.
    """
    bundle = Path(bundle)
    check_bundle_path(bundle, overwrite=overwrite)
    shape = _image_shape(network)
    _check_settings(shape[-1], pixel_mean, pixel_std, prediction, graphs, image_dtype)
    _check_finite(network)
    denoiser = Denoiser(
        network,
        schedule or CosineSchedule(),
        prediction,
        tuple(map(float, pixel_mean)),
        tuple(map(float, pixel_std)),
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
            folder / "saved_model",
            folder / "sampler.onnx",
            make_reference(denoiser, network),
            shape=shape,
            image_dtype=image_dtype,
        )
        write_manifest(folder, known, models, certificate)
    return certificate


def _image_shape(network: keras.Model) -> tuple[int, int, int]:
    """Height, width and channels of a network's first input."""
    shapes = [tuple(tensor.shape) for tensor in network.inputs]
    if len(shapes) != 2 or len(shapes[0]) != 4 or shapes[1] != (None,) or None in shapes[0][1:]:
        raise InputError(
            f"network: has inputs of shapes {shapes}, expected [(None, H, W, C), (None,)]: "
            "noisy images of a fixed size, and a time for each"
        )
    return shapes[0][1:]


def _check_settings(channels, pixel_mean, pixel_std, prediction, graphs, image_dtype) -> None:
    for name, values in (("pixel_mean", pixel_mean), ("pixel_std", pixel_std)):
        if len(values) != channels:
            raise InputError(f"{name}={list(values)}: expected {channels} numbers, one per channel")
    if min(pixel_std) <= 0:
        raise InputError(f"pixel_std={list(pixel_std)}: expected numbers above 0")
    if prediction not in PREDICTIONS:
        raise InputError(f"prediction={prediction}: expected one of {', '.join(PREDICTIONS)}")
    if image_dtype not in IMAGE_DTYPES:
        raise InputError(f"image_dtype={image_dtype}: expected one of {', '.join(IMAGE_DTYPES)}")
    check_graphs(graphs)


def _check_finite(network: keras.Model) -> None:
    for variable in network.variables:
        if not np.isfinite(variable.numpy()).all():
            raise InputError(
                f"network: its weight {variable.path} is not finite; export an earlier checkpoint, "
                "or train again with a lower learning rate"
            )


@contextlib.contextmanager
def _published(bundle: Path) -> Iterator[Path]:
    """A temporary sibling to fill that becomes the bundle at the end, or disappears.

    An older bundle steps aside only for the moment of the renaming, and comes back if that fails.
    """
    part = bundle.with_name(f".{bundle.name}.{os.getpid()}.part")
    older = bundle.with_name(f".{bundle.name}.{os.getpid()}.old")
    part.mkdir()
    try:
        yield part
        if bundle.exists():
            bundle.rename(older)
        try:
            part.rename(bundle)
        except OSError:
            if older.exists():
                older.rename(bundle)
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(older, ignore_errors=True)
