"""Layers and operations in onnxruntime, compared with what TensorFlow computes."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import onnxruntime
import tensorflow as tf
from keras import layers

from diffkiln.export.graphs.conversion import convert

ops: Any = keras.ops  # whose results have no types
Function = Callable[[Any], Any]

IMAGE = (8, 12, 8)


def converted(function: Function, shape: tuple[int, ...] = IMAGE) -> onnxruntime.InferenceSession:
    """A function of float32 numbers in onnxruntime; the runtime's check has taken it."""
    layer = function if isinstance(function, keras.Layer) else layers.Lambda(function, name="mine")
    layer(np.zeros((1, *shape), np.float32))  # which builds it
    specs = [tf.TensorSpec([None, *shape], tf.float32, "x")]
    model = convert(tf.function(lambda x: {"y": layer(x)}, input_signature=specs))
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def require_alike(
    function: Function, shape: tuple[int, ...] = IMAGE, tolerance: float = 1e-5
) -> None:
    """Two batches, to float32's error in kernels of two libraries."""
    session = converted(function, shape)
    for batch in (1, 3):
        x = np.random.default_rng(batch).standard_normal((batch, *shape)).astype(np.float32)
        expected = np.asarray(function(x)).astype(np.float64)
        received = np.asarray(session.run(None, {"x": x})[0]).astype(np.float64)
        assert received.shape == expected.shape
        size = max(1, np.abs(expected[np.isfinite(expected)]).max(initial=0))
        np.testing.assert_allclose(received, expected, rtol=0, atol=tolerance * size)


def whole(x: Any, dtype: str = "int64") -> Any:
    return ops.cast(ops.round(x * 3), dtype)
