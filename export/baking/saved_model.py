"""The SavedModel of a bundle: all signatures over one set of weights."""

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
    """Write `serving_default` (the sampler), `denoise` and the other loops by their names.

    It needs nothing of diffkiln to load. Raises OSError if it cannot be written.
    """
    functions = {name: process.function for name, process in signatures.processes().items()}
    functions["serving_default"] = functions.pop("sampler")
    # Nobody trains a sampler; without their gradients the functions are written much sooner.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    signatures_by_name = {**functions, "denoise": signatures.denoise}
    try:
        tf.saved_model.save(_Weights(network), str(folder), signatures_by_name, options)
    except tf.errors.OpError as error:  # a full disk among others
        raise OSError(error.message) from error
