"""The SavedModel of a bundle: its functions as signatures, and the variables of its networks."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from .baking.signatures import Signatures
from .baking.upscaling import SMALL
from .cascade import NETWORK
from .network.kinds import Network


def write_saved_model(
    signatures: Signatures,
    own: Signatures,
    networks: Sequence[Network],
    folder: Path,
    left_out: Sequence[str] = (),
) -> None:
    """Write `serving_default` (the sampler), `denoise` and the other loops by their names.

    `signatures` call a function that is written once, and `own` the network itself. OSError if the
    folder cannot be written.
    """
    shutil.rmtree(folder, ignore_errors=True)
    processes = signatures.processes().items()
    functions = {name: each.function for name, each in processes if name not in left_out}
    functions["serving_default"] = functions.pop("sampler")
    functions["denoise"] = signatures.denoise
    if signatures.codec is not None:
        functions["decode"] = signatures.decode
    if signatures.codec is not None and signatures.codec.encoder is not None:
        functions["encode_latents"] = signatures.encode_latents
    if signatures.upscaler is not None:
        functions["upscale"] = signatures.upscaler.function
    if any(each.name == SMALL and each.is_image for each in own.conditions):
        functions[NETWORK] = _of_levels(own).network
    # Nobody trains a sampler, and writing its functions with their gradients takes much longer.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    # The variables alone: a tracked Keras model would store its layers' Python side as well.
    tracked: Any = tf.Module()
    further = () if signatures.upscaler is None else signatures.upscaler.variables
    tracked.weights = [variable.value for each in networks for variable in each.variables]
    tracked.weights += further
    try:
        tf.saved_model.save(tracked, str(folder), functions, options)
    except tf.errors.OpError as error:  # a full disk among others
        raise OSError(error.message) from error


def _of_levels(signatures: Signatures) -> Signatures:
    """Functions whose small picture has float32 levels, 0 to 255, as a cascade's have."""
    conditions = (
        replace(each, dtype="float32") if each.name == SMALL else each
        for each in signatures.conditions
    )
    return replace(signatures, conditions=tuple(conditions))
