"""A loop over steps, as TensorFlow functions: whole for the SavedModel, in parts for ONNX."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import tensorflow as tf

from .admission import or_nothing

Tensors = dict[str, tf.Tensor]

STEP = tf.TensorSpec([], tf.int64, "step")
STEPS = tf.TensorSpec([], tf.int64, "steps")
EVERY = tf.TensorSpec([], tf.int64, "every")
START = tf.TensorSpec([], tf.int64, "start")
TRIPS = tf.TensorSpec([], tf.int64, "trips")
RESULT = "result"
ALL_RESULTS = "all_results"


def traced(function: Callable[..., Tensors], signature: Sequence[tf.TensorSpec]) -> Any:
    """The function as a tf.function with this signature."""
    # Without AutoGraph, as Keras traces its models too: it would rewrite the source of every layer.
    return tf.function(function, input_signature=signature, autograph=False)


@dataclass(frozen=True)
class Process:
    """A loop of steps from its inputs to an output.

    `begin` takes the inputs and returns the tensors of the first step by name: the `carried` ones
    change from step to step, the others stay as they are. `step` takes step and steps, int64 [],
    and all of these tensors; it returns `next_NAME` of each carried tensor, and `result`, of N
    images. The output is the last result or, with `every` among the inputs, a stack of each
    `every`-th result, counted from the last. The loop takes `extra_steps` more steps than `steps`,
    as many fewer as the input `start` says if there is one, or none unless `admits` finds the
    inputs, by name, in order: then the result is all `nothing`. If there is a `finish`, it makes
    the output, as `finished` declares it, of the last result and of what `begin` returned and no
    step changes. Only the finish takes those of the names in `after`.
    """

    inputs: tuple[tf.TensorSpec, ...]
    begin: Callable[..., Tensors]
    step: Callable[..., Tensors]
    carried: tuple[str, ...]
    result: tf.TensorSpec
    admits: Callable[[Tensors], tf.Tensor]
    output: str = "images"
    extra_steps: int = 0
    nothing: float = 0.0
    finish: Callable[..., tf.Tensor] | None = None
    finished: tf.TensorSpec | None = None
    after: tuple[str, ...] = ()

    @property
    def gives_frames(self) -> bool:
        """Whether the output is a stack of results rather than one."""
        return EVERY in self.inputs

    @property
    def drawn(self) -> tf.TensorSpec:
        """The output, or a frame of it."""
        return self.finished or self.result

    @property
    def begin_function(self) -> Any:
        """`begin` as a tf.function: `first_NAME` of its tensors, and `first_trips` of the loop."""

        def begin(*inputs: tf.Tensor) -> Tensors:
            # Not NAME itself: in ONNX, no output can have the name of an input.
            tensors = {**self.begin(*inputs), TRIPS.name: self._trips(by_name(self.inputs, inputs))}
            return {f"first_{name}": tensor for name, tensor in tensors.items()}

        return traced(begin, self.inputs)

    @property
    def step_function(self) -> Any:
        """`step` as a tf.function of step, steps and what `begin` returns."""
        specs = [STEP, STEPS, *(spec for spec in self._first if spec.name not in self.after)]
        return traced(lambda *tensors: self.step(**by_name(specs, tensors)), specs)

    @property
    def _first(self) -> list[tf.TensorSpec]:
        """What `begin` returns."""
        first = dict(self.begin_function.get_concrete_function().structured_outputs)
        del first[f"first_{TRIPS.name}"]
        specs = []
        for name, tensor in first.items():
            shape = [None, *tensor.shape[1:]] if tensor.shape.rank else []
            specs.append(tf.TensorSpec(shape, tensor.dtype, name.removeprefix("first_")))
        return specs

    @property
    def finish_function(self) -> Any:
        """`finish` as a tf.function of the last result and what no step changes → the output."""
        kept = [spec for spec in self._first if spec.name not in self.carried]
        specs, finish = [self.result, *kept], cast("Callable[..., tf.Tensor]", self.finish)

        def finished(result: tf.Tensor, *others: tf.Tensor) -> Tensors:
            return {self.output: finish(result, **by_name(kept, others))}

        return traced(finished, specs)

    @property
    def select_function(self) -> Any:
        """all_results [steps, N, H, W, C], every → the output: the frames to keep of them."""
        frames = tf.TensorSpec([None, *self.result.shape], self.result.dtype, ALL_RESULTS)
        return traced(lambda frames, every: {self.output: _every(frames, every)}, [frames, EVERY])

    @property
    def function(self) -> Any:
        """The whole loop as a tf.function of the inputs."""
        return traced(self.run, self.inputs)

    def _trips(self, inputs: Tensors) -> tf.Tensor:
        trips = inputs["steps"] + self.extra_steps
        if START in self.inputs:
            trips -= inputs["start"]
        return or_nothing(self.admits(inputs), trips)

    def run(self, *inputs: tf.Tensor) -> Tensors:
        """The output by name, of the inputs in order."""
        named = by_name(self.inputs, inputs)
        first, steps, trips = self.begin(*inputs), named["steps"], self._trips(named)
        nothing = tf.cast(self.nothing, self.result.dtype)
        results: Any = tf.fill(tf.shape(first[self.carried[0]]), nothing)
        if self.gives_frames:
            count, shape = tf.cast(trips, tf.int32), self.result.shape
            results = tf.TensorArray(self.result.dtype, count, element_shape=shape)

        def body(step: tf.Tensor, carried: Tensors, results):
            taken = {name: x for name, x in first.items() if name not in self.after}
            outputs = self.step(step=step, steps=steps, **{**taken, **carried})
            result = outputs[RESULT]
            if self.gives_frames:
                result = results.write(tf.cast(step, tf.int32), result)
            return step + 1, {name: outputs[f"next_{name}"] for name in self.carried}, result

        start = (tf.constant(0, tf.int64), {name: first[name] for name in self.carried}, results)
        *_, results = tf.while_loop(
            lambda step, *_: step < trips, body, start, parallel_iterations=1
        )
        if self.gives_frames:
            results = _every(results.stack(), named["every"])
        if self.finish is not None:
            others = {name: x for name, x in first.items() if name not in self.carried}
            results = or_nothing(trips > 0, self.finish(results, **others))
        return {self.output: results}


def by_name(specs: Sequence[tf.TensorSpec], tensors: Sequence[tf.Tensor]) -> Tensors:
    """The tensors by the names of their specifications."""
    return dict(zip([str(spec.name) for spec in specs], tensors, strict=True))


def _every(frames: tf.Tensor, every: tf.Tensor) -> tf.Tensor:
    """Frames [steps, …]: the last, and each that is a multiple of `every` before it."""
    # A whole number divided by 0 would end the process that runs the graph.
    every = tf.maximum(every, 1)
    last = tf.shape(frames, tf.int64)[0] - 1
    return frames[tf.math.floormod(last, every) :: every]
