"""A network in an ONNX file behind the one call that a sampler makes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto, helper

from .conditions import FittedCondition
from .fitted import Shape, taken
from .onnx_file import OnnxFile, declared, in_single_precision, session_of
from .onnx_graph import Around, at_opset, for_any_batch
from .roles import CONDITION, LABELS, NOISY, Input


@dataclass(frozen=True)
class OnnxNetwork:
    """An ONNX file as a function of [noisy, condition], then what it takes besides.

    These, the prediction and its `depth` are as a `FittedNetwork` has them. The file is called by
    onnxruntime, with one image at a time if it is for a batch of one or its timestep is a scalar
    (`alone`). `graph` does the same for any number of images.
    """

    file: OnnxFile
    shape: Shape
    inputs: tuple[Input, ...]
    roles: tuple[str, ...]
    output: int
    channels_first: bool
    alone: bool
    depth: int
    conditions: tuple[FittedCondition, ...] = ()

    def __call__(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """The prediction, float32 [N, H, W, depth]."""
        prediction: Any = tf.numpy_function(self.predict, list(inputs), tf.float32, stateful=False)
        prediction.set_shape([None, *self._prediction])
        return prediction

    @property
    def takes_whole_condition(self) -> bool:
        """Whether the network's condition is a whole number."""
        return self.inputs[self.roles.index(CONDITION)].is_whole

    def predict(self, *inputs: np.ndarray) -> np.ndarray:
        """The prediction, float32 [N, H, W, depth], as onnxruntime computes it from the file."""
        return self.predicted(self.outputs(self._session, inputs))

    def predicted(self, outputs: Sequence[np.ndarray]) -> np.ndarray:
        """The prediction, float32 [N, H, W, depth], among the outputs of the file."""
        prediction = outputs[self.output].astype(np.float32)
        if self.channels_first:
            prediction = prediction.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(prediction[..., : self.depth])

    def outputs(self, session: Any, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What a session of the file returns for the inputs of a sampler."""
        single = [slice(place, place + 1) for place in range(len(inputs[0]))]
        batches = single if self.alone else [slice(None)]
        calls = [
            session.run(None, self._feeds(session, [x[rows] for x in inputs])) for rows in batches
        ]
        joined = (
            np.concatenate if parts[0].ndim else np.stack for parts in zip(*calls, strict=True)
        )
        return [join(parts) for join, parts in zip(joined, zip(*calls, strict=True), strict=True)]

    def _feeds(self, session: Any, inputs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        given = dict(zip(taken(self), inputs, strict=True))
        feeds = {}
        for role, one, value in zip(self.roles, self.inputs, session.get_inputs(), strict=True):
            dtype = np.float16 if value.type == "tensor(float16)" else one.dtype
            array = self._fed(role, one, given[role]).astype(dtype)
            feeds[value.name] = array if value.shape else array.reshape(())
        return feeds

    def _fed(self, role: str, one: Input, values: np.ndarray) -> np.ndarray:
        """An input of a sampler's as the file takes it."""
        condition = self._condition(role)
        if condition is not None and not condition.is_image:
            return values
        if condition is not None:
            scale = 255 * np.array(condition.pixel_std)
            values = (values - 255 * np.array(condition.pixel_mean)) / scale
        if role == NOISY or condition is not None:
            return values.transpose(0, 3, 1, 2) if self.channels_first else values
        values = np.rint(values) if one.is_whole else values
        if is_one_hot(role, one):
            return values[:, None] == np.arange(one.shape[-1] or 0)
        if self._is_map(role, one):
            return np.broadcast_to(values.reshape(-1, 1, 1, 1), (len(values), *self._map))
        return values.reshape(-1, *(1 for _ in one.shape))

    def _condition(self, role: str) -> FittedCondition | None:
        return next((each for each in self.conditions if each.name == role), None)

    @property
    def _prediction(self) -> Shape:
        return (*self.shape[:-1], self.depth)

    def _is_map(self, role: str, one: Input) -> bool:
        """Whether an input is a map of one number for each pixel."""
        other = role == NOISY or self._condition(role) is not None
        return not other and len(one.shape) == 3 and set(one.shape) != {1}

    @property
    def _map(self) -> Shape:
        """The shape of a map of one number for each pixel."""
        height, width, _ = self.shape
        return (1, height, width) if self.channels_first else (height, width, 1)

    @cached_property
    def _session(self) -> Any:
        return session_of(in_single_precision(self.file.model))

    @cached_property
    def graph(self) -> onnx.ModelProto:
        """The roles of `taken` → prediction, of opset 18 and for any number of images."""
        model = at_opset(self.file)
        image = self.shape[-1:] + self.shape[:-1] if self.channels_first else self.shape
        shapes = {}
        for role, one, value in zip(self.roles, self.inputs, model.graph.input, strict=True):
            own = self._map if self._is_map(role, one) else one.shape
            own = image if role == NOISY else own
            if condition := self._condition(role):
                own = self._channels_in_place(condition)
            shapes[value.name] = ["N", *(size or 1 for size in own)]
        images = model.graph.input[self.roles.index(NOISY)]
        for_any_batch(model, shapes, fixed=declared(images)[0][0] == 1)
        around = Around(model)
        for role, one, value in zip(self.roles, self.inputs, model.graph.input, strict=True):
            self._fit(around, role, one, value)
        return self._fitted_output(around)

    def _fit(self, around: Around, role: str, one: Input, value: onnx.ValueInfoProto) -> None:
        """Make an input of the file of one of the sampler's."""
        to = {"to": value.type.tensor_type.elem_type}
        if condition := self._condition(role):
            name = self._given(around, condition)
            around.before("Cast", name, output=value.name, **to)
            return
        if role == NOISY:
            name = around.input(NOISY, TensorProto.FLOAT, self.shape)
            if self.channels_first:
                name = around.before("Transpose", name, perm=[0, 3, 1, 2])
        elif role == LABELS:
            name = around.input(LABELS, TensorProto.INT64, [])
            if is_one_hot(role, one):
                rows = around.constant(np.arange(one.shape[-1] or 0))
                column = around.before("Reshape", name, around.constant(np.array([-1, 1])))
                name = around.before("Equal", column, rows)
        else:
            name = around.input(role, TensorProto.FLOAT, [])
            name = around.before("Round", name) if one.is_whole else name
        if self._is_map(role, one):
            name = around.before("Reshape", name, around.constant(np.array([-1, 1, 1, 1])))
            name = around.before("Tile", name, around.constant(np.array([1, *self._map])))
        elif role != NOISY and one.shape and not is_one_hot(role, one):
            target = np.array([-1, *(1 for _ in one.shape)])
            name = around.before("Reshape", name, around.constant(target))
        around.before("Cast", name, output=value.name, **to)

    def _given(self, around: Around, condition: FittedCondition) -> str:
        """A condition as the sampler has it, with its pixels as the network takes them."""
        dtype = helper.np_dtype_to_tensor_dtype(np.dtype(condition.dtype))
        name = around.input(condition.name, dtype, condition.shape)
        if not condition.is_image:
            return name
        mean, std = np.array((condition.pixel_mean, condition.pixel_std)) * 255
        name = around.before("Cast", name, to=TensorProto.FLOAT)
        name = around.before("Sub", name, around.constant(mean.astype(np.float32)))
        name = around.before("Div", name, around.constant(std.astype(np.float32)))
        return around.before("Transpose", name, perm=[0, 3, 1, 2]) if self.channels_first else name

    def _channels_in_place(self, condition: FittedCondition) -> tuple[int, ...]:
        """The shape of a condition as the file takes it."""
        shape = condition.shape
        first = condition.is_image and self.channels_first
        return (shape[-1], *shape[:-1]) if first else shape

    def _fitted_output(self, around: Around) -> onnx.ModelProto:
        """Make the sampler's prediction of the file's."""
        name = around.after("Cast", around.inner_output(self.output), to=TensorProto.FLOAT)
        if self.channels_first:
            name = around.after("Transpose", name, perm=[0, 2, 3, 1])
        ends = [around.constant(np.array([number])) for number in (0, self.depth, len(self.shape))]
        around.after("Slice", name, *ends, output="prediction")
        return around.finished(self._prediction, taken(self))


def is_one_hot(role: str, one: Input) -> bool:
    """Whether an input takes labels as rows of zeros and a one."""
    return role == LABELS and len(one.shape) == 1 and one.shape != (1,)
