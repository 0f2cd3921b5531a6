"""Runs LiteRT files with the interpreter that TensorFlow has, as the certificate does."""

import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf

from ...trainer.errors import InputError, first_line
from ..graphs.graph import Call, Tensors
from .quiet import quiet


def litert_runner(model: Path) -> Call:
    """A LiteRT file as a function on the CPU; InputError for a file that is none."""
    with quiet(), warnings.catch_warnings():
        # TensorFlow announces that the interpreter moves to a package of its own, ai-edge-litert.
        warnings.simplefilter("ignore")
        try:
            call = tf.lite.Interpreter(model_path=str(model)).get_signature_runner()
        except ValueError as error:
            raise InputError(
                f"{model}: is not a LiteRT file of one signature ({first_line(error)}); export the "
                "model again"
            ) from error
    inputs, known = call.get_input_details(), set[tuple[int, ...]]()

    def run(tensors: Tensors) -> Tensors:
        given = {name: np.asarray(tensors[name]) for name in inputs}
        sizes = tuple(size for value in given.values() for size in value.shape)
        with quiet():  # since the interpreter greets at its first call
            if known != {sizes}:
                # XNNPACK can compute the first run of a size wrongly (docs/bundle.md, LiteRT).
                call(**given)
                known.clear()
                known.add(sizes)
            return call(**given)

    return run
