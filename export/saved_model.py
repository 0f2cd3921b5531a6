"""The SavedModel of a bundle: three signatures over one set of weights."""

from pathlib import Path

import keras
import tensorflow as tf

from .signatures import Signatures


class _Weights(tf.Module):
    """The variables alone: tracking the Keras model would store its layers' Python side as well."""

    def __init__(self, network: keras.Model) -> None:
        super().__init__()
        self.weights = [variable.value for variable in network.variables]


def write_saved_model(signatures: Signatures, network: keras.Model, folder: Path) -> None:
    """Write `serving_default`, `from_noise` and `denoise`; needs nothing of diffkiln to load."""
    tf.saved_model.save(
        _Weights(network),
        str(folder),
        signatures={
            "serving_default": signatures.sampler,
            "from_noise": signatures.from_noise,
            "denoise": signatures.denoise,
        },
    )
