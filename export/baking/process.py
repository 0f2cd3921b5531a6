"""A loop over steps, as TensorFlow functions: whole for the SavedModel, in parts for ONNX."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

Tensors = dict[str, tf.Tensor]

STEP = tf.TensorSpec([], tf.int64, "step")
STEPS = tf.TensorSpec([], tf.int64, "steps")
EVERY = tf.TensorSpec([], tf.int64, "every")
RESULT = "result"
ALL_RESULTS = "all_results"


def traced(function: Callable[..., Tensors], signature: Sequence[tf.TensorSpec]) -> Any:
    """The function as a tf.function of tensors as the signature has them."""
    # Without AutoGraph, as Keras traces its models too: it would rewrite the source of every layer.
    return tf.function(function, input_signature=signature, autograph=False)


@dataclass(frozen=True)
class Process:
    """Steps that lead from what the inputs begin with to an output.

    `begin` takes the inputs and gives the tensors of the first step by name: those `carried` from
    step to step, and others that stay as they are. `step` takes step and steps, int64 [], and all
    of these; it gives `next_NAME` of each carried tensor, and `result`, of N images. The output is
    the last result or, with `every` among the inputs, a stack of each `every`-th, counted from the
    last. There are `extra_steps` more steps than the input says.
    """

    inputs: tuple[tf.TensorSpec, ...]
    begin: Callable[..., Tensors]
    step: Callable[..., Tensors]
    carried: tuple[str, ...]
    result: tf.TensorSpec
    output: str = "images"
    extra_steps: int = 0

    @property
    def gives_frames(self) -> bool:
        """Whether the output is a stack of results rather than one."""
        return EVERY in self.inputs

    @property
    def begin_function(self) -> Any:
        """`begin` as a tf.function, whose outputs are `first_NAME`."""
        # Not NAME itself: an output of ONNX cannot be called what an input is called.
        return traced(
            lambda *inputs: {f"first_{name}": t for name, t in self.begin(*inputs).items()},
            self.inputs,
        )

    @property
    def step_function(self) -> Any:
        """`step` as a tf.function of step, steps and what `begin` gives."""
        first = self.begin_function.get_concrete_function().structured_outputs
        given = [
            tf.TensorSpec(
                [None, *tensor.shape[1:]] if tensor.shape.rank else [],
                tensor.dtype,
                name.removeprefix("first_"),
            )
            for name, tensor in first.items()
        ]
        names = ["step", "steps", *(spec.name for spec in given)]
        return traced(
            lambda *tensors: self.step(**dict(zip(names, tensors, strict=True))),
            [STEP, STEPS, *given],
        )

    @property
    def select_function(self) -> Any:
        """all_results [steps, N, H, W, C], every → the output: the frames to keep of them."""
        frames = tf.TensorSpec([None, *self.result.shape], self.result.dtype, ALL_RESULTS)
        return traced(lambda frames, every: {self.output: _every(frames, every)}, [frames, EVERY])

    @property
    def function(self) -> Any:
        """The whole loop as a tf.function of the inputs."""
        return traced(self._run, self.inputs)

    def _run(self, *inputs: tf.Tensor) -> Tensors:
        given = dict(zip([spec.name for spec in self.inputs], inputs, strict=True))
        first, steps = self.begin(*inputs), given["steps"]
        results: Any = tf.zeros_like(first[self.carried[0]], self.result.dtype)
        if self.gives_frames:
            results = tf.TensorArray(self.result.dtype, tf.cast(steps, tf.int32))

        def body(step: tf.Tensor, carried: Tensors, results):
            made = self.step(step=step, steps=steps, **{**first, **carried})
            result = made[RESULT]
            if self.gives_frames:
                result = results.write(tf.cast(step, tf.int32), result)
            return step + 1, {name: made[f"next_{name}"] for name in self.carried}, result

        start = (tf.constant(0, tf.int64), {name: first[name] for name in self.carried}, results)
        *_, results = tf.while_loop(
            lambda step, *_: step < steps + self.extra_steps, body, start, parallel_iterations=1
        )
        if self.gives_frames:
            results = _every(results.stack(), given["every"])
        return {self.output: results}


def _every(frames: tf.Tensor, every: tf.Tensor) -> tf.Tensor:
    """Frames [steps, …]: the last, and each that is a multiple of `every` before it."""
    # To divide a whole number by nothing would end the process of whoever runs the graph.
    every = tf.maximum(every, 1)
    last = tf.shape(frames, tf.int64)[0] - 1
    return frames[tf.math.floormod(last, every) :: every]
