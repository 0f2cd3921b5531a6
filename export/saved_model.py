"""The SavedModel of a bundle: three signatures over one set of weights."""

from pathlib import Path

import keras
import tensorflow as tf

from .signatures import Signatures


def write_saved_model(signatures: Signatures, network: keras.Model, folder: Path) -> None:
    """Write `serving_default`, `from_noise` and `denoise`; needs nothing of diffkiln to load."""
    module = tf.Module()
    # The variables alone: tracking the Keras model would store its layers' Python side as well.
    module.weights = [variable.value for variable in network.variables]
    tf.saved_model.save(
        module,
        str(folder),
        signatures={
            "serving_default": signatures.sampler,
            "from_noise": signatures.from_noise,
            "denoise": signatures.denoise,
        },
    )
