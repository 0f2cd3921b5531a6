"""Networks of one input, Keras's or of ONNX files, as maps from arrays to arrays."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto

from .fitted import Shape
from .onnx_file import OnnxFile, declared, in_single_precision, session_of
from .onnx_graph import Around, at_opset, for_any_batch

# Types of onnxruntime's other than float32 that a network may take.
_NUMPY: dict[str, Any] = {"tensor(double)": np.float64}


@dataclass(frozen=True)
class FittedMap:
    """A network of float32 [N, *taken] → float32 [N, *given], for any N.

    `output` says which of its outputs that is. Of the axis `shortened`, the first (0) or the last
    (−1), entries that `given` has no place for are left out. Images have their channels last here;
    `swaps_input` and `swaps_output` say where the network has them first.
    """

    role: str
    network: "keras.Model | OnnxFile"
    taken: Shape
    given: Shape
    output: int = 0
    shortened: int = -1
    swaps_input: bool = False
    swaps_output: bool = False

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """The output as a tensor; of an ONNX file, onnxruntime's."""
        if isinstance(self.network, OnnxFile):
            result: Any = tf.numpy_function(self.predict, [values], tf.float32, stateful=False)
            result.set_shape([None, *self.given])
            return result
        values = tf.transpose(values, [0, 3, 1, 2]) if self.swaps_input else values
        result = tf.cast(_tensors_of(self.network, values)[self.output], tf.float32)
        result = tf.transpose(result, [0, 2, 3, 1]) if self.swaps_output else result
        axis, size = self._axis, self.given[self.shortened]
        return result if result.shape[axis] == size else result[self._meant]

    def predict(self, values: np.ndarray) -> np.ndarray:
        """The output as an array, float32 [N, *given]."""
        if not isinstance(self.network, OnnxFile):
            return self(tf.constant(values)).numpy()
        values = values.transpose(0, 3, 1, 2) if self.swaps_input else values
        result = run_all(self._session, values)[self.output].astype(np.float32)
        result = result.transpose(0, 2, 3, 1) if self.swaps_output else result
        return np.ascontiguousarray(result[self._meant])

    @property
    def _axis(self) -> int:
        """The axis `shortened`, of arrays [N, *given]."""
        return self.shortened % len(self.given) + 1

    @property
    def _meant(self) -> tuple[Any, ...]:
        kept = slice(self.given[self.shortened])
        return (slice(None), kept) if self.shortened == 0 else (..., kept)

    @cached_property
    def _session(self) -> Any:
        return session_of(in_single_precision(self.network.model))

    @cached_property
    def graph(self) -> onnx.ModelProto | None:
        """The graph of an ONNX file: given → prediction, for any N; None for a Keras model."""
        if not isinstance(self.network, OnnxFile):
            return None
        model = at_opset(self.network)
        (value,) = model.graph.input
        taken = (self.taken[-1], *self.taken[:-1]) if self.swaps_input else self.taken
        for_any_batch(model, {value.name: ["N", *taken]}, fixed=declared(value)[0][0] == 1)
        around = Around(model)
        name = around.input("given", TensorProto.FLOAT, self.taken)
        if self.swaps_input:
            name = around.before("Transpose", name, perm=[0, 3, 1, 2])
        around.before("Cast", name, output=value.name, to=value.type.tensor_type.elem_type)
        name = around.after("Cast", around.inner_output(self.output), to=TensorProto.FLOAT)
        if self.swaps_output:
            name = around.after("Transpose", name, perm=[0, 2, 3, 1])
        size = self.given[self.shortened]
        ends = [around.constant(np.array([number])) for number in (0, size, self._axis)]
        around.after("Slice", name, *ends, output="prediction")
        return around.finished(self.given, ["given"])


@dataclass(frozen=True)
class CalledMap:
    """A map of the same shapes that calls another function."""

    call: Callable[[tf.Tensor], tf.Tensor]
    taken: Shape
    given: Shape

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """The output as a tensor."""
        return self.call(values)


def outputs_of(network: "keras.Model | OnnxFile", values: np.ndarray) -> list[np.ndarray]:
    """All outputs of a network, in their order, for values of the shape that it takes."""
    if isinstance(network, OnnxFile):
        return run_all(session_of(in_single_precision(network.model)), values)
    return [each.numpy() for each in _tensors_of(network, tf.constant(values))]


def _tensors_of(network: keras.Model, values: tf.Tensor) -> list[Any]:
    (given,) = network.inputs
    arguments = keras.tree.pack_sequence_as(network.input, [tf.cast(values, given.dtype)])
    return keras.tree.flatten(network(arguments, training=False))


def run_all(session: Any, values: np.ndarray) -> list[np.ndarray]:
    """What a session of one input returns; one at a time, where it is for a batch of one."""
    (given,) = session.get_inputs()
    single = given.shape and given.shape[0] == 1
    size = 1 if single else len(values)
    values = values.astype(_NUMPY.get(given.type, np.float32))
    calls = [
        session.run(None, {given.name: values[row : row + size]})
        for row in range(0, len(values), size)
    ]
    return [np.concatenate(parts) for parts in zip(*calls, strict=True)]
