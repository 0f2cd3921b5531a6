"""The SavedModel of a bundle: all signatures over one set of weights."""

from pathlib import Path

import keras
import tensorflow as tf

from .signatures import Signatures


class _Weights(tf.Module):
    """The variables alone: a tracked Keras model would store its layers' Python side as well."""

    def __init__(self, network: keras.Model) -> None:
        super().__init__()
        self.weights = [variable.value for variable in network.variables]


def write_saved_model(signatures: Signatures, network: keras.Model, folder: Path) -> None:
    """Write `serving_default` (the sampler), `denoise` and the other loops by their names.

    Loading it needs nothing of diffkiln. Raises OSError if it cannot be written.
    """
    functions = {name: process.function for name, process in signatures.processes().items()}
    functions["serving_default"] = functions.pop("sampler")
    functions["denoise"] = signatures.denoise
    # Nobody trains a sampler, and writing its functions with their gradients takes much longer.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    try:
        tf.saved_model.save(_Weights(network), str(folder), functions, options)
    except tf.errors.OpError as error:  # a full disk among others
        raise OSError(error.message) from error
