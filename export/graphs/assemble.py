"""The ONNX graphs of a bundle.

One step is converted flat, and the Loop is made by hand, whose body owns the weights: outside of it
onnxruntime can neither prepack them nor use its blocked convolutions (docs/design.md has the
measurements). The network is converted once, by itself, and joined to the step of each graph.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import onnx
import tensorflow as tf
from onnx import helper

from ..baking.process import RESULT, Tensors, traced
from ..baking.signatures import Signatures
from .conversion import convert
from .graph import BATCH, ancestors, finished, parts, renamed, value_info
from .loops import looped, unrolled
from .naming import canonical
from .numbers import take_numbers
from .rewriting.blocked import blocked, declare_batch
from .rewriting.tidying import tidy

# A function of the signatures, without the network or with it.
_Parts = Callable[[Signatures], Callable[..., Tensors]]

UNROLLED = ("sampler", "from_noise")

# Where the network is plugged into a graph that was converted without it.
_PREDICTION = "network_prediction"
_NETWORK = "network/"

# The free dimension inside of the network where classes are.
EVALUATIONS = "evaluations"


@dataclass(frozen=True)
class OnnxExporter:
    """Makes the graphs of one model.

    `network` is the network's graph: noisy, condition (and labels, where it knows classes) →
    prediction. With `unroll_steps`, sampler and from_noise have that many steps one after another
    instead of a Loop, and with `batch_size` they take that many images. `numbers_as_lists` declares
    steps and other single numbers as [1].
    """

    signatures: Signatures
    network: onnx.ModelProto
    unroll_steps: int | None = None
    batch_size: int | None = None
    numbers_as_lists: bool = False

    def graph(self, name: str) -> onnx.ModelProto:
        """The graph of this name, of `options.GRAPHS`, as a checked model of opset 18."""
        model = self._make(name)
        model.graph.name = name
        batch = self.batch_size if name in UNROLLED and self.batch_size else BATCH
        # Guidance makes one or two evaluations of each image, and a table may choose in each step.
        guided = self.signatures.is_guided and not self.signatures.takes_guidance
        batch = EVALUATIONS if guided else batch
        separate_batches = guided and self.signatures.sampling.tables is not None
        declare_batch(model, _NETWORK, self._network, batch, separate_batches=separate_batches)
        take_numbers(model, as_lists=self.numbers_as_lists)
        canonical(model)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _make(self, name: str) -> onnx.ModelProto:
        if name == "noise":
            return convert(self.signatures.noise)
        if name == "denoiser":
            specs = self.signatures.denoise.input_signature
            return self._joined(lambda s: s.denoised, specs, self.signatures.estimates)
        if name == "step":
            step = self._step("sampler", lambda s: s.single_step)
            return _with_result_named(step, "images")
        process = self.signatures.processes()[name]
        step = self._sampler_step if name in UNROLLED else self._step(name)
        if name in UNROLLED and self.unroll_steps:
            return unrolled(process, step, self.unroll_steps, self.batch_size)
        return looped(process, step)

    @cached_property
    def _network(self) -> onnx.ModelProto:
        return blocked(self.network)

    @cached_property
    def _sockets(self) -> dict[str, str]:
        """The outputs, of a graph without the network, that are the inputs of the network."""
        return {value.name: f"network_{value.name}" for value in self.network.graph.input}

    @cached_property
    def _sampler_step(self) -> onnx.ModelProto:
        return self._step("sampler")

    def _step(self, name: str, function: _Parts | None = None) -> onnx.ModelProto:
        """One step of a process: step, steps, the state and inputs → the next state, result.

        `function` is the process's own, unless it is given.
        """
        process = self.signatures.processes()[name]
        specs = process.step_function.input_signature
        outputs = [*(f"next_{carried}" for carried in process.carried), RESULT]
        return self._joined(function or (lambda s: s.processes()[name].step), specs, outputs)

    def _joined(
        self,
        function: _Parts,
        specs: Sequence[tf.TensorSpec],
        outputs: Sequence[str],
    ) -> onnx.ModelProto:
        """The flat function of these inputs, by name, with the network's graph in its place."""
        prediction = self.signatures.prediction(_PREDICTION)

        def socketed(*tensors: tf.Tensor) -> Tensors:
            *inputs, predicted = tensors
            sockets: list[tf.Tensor] = []

            def network(inputs: list[tf.Tensor]) -> tf.Tensor:
                sockets.extend(inputs)
                return predicted

            names = [str(spec.name) for spec in specs]
            call = function(self.signatures.with_network(network))
            results = call(**dict(zip(names, inputs, strict=True)))
            ends = zip(self._sockets.values(), map(tf.identity, sockets), strict=True)
            return {**results, **dict(ends)}

        rest = convert(traced(socketed, [*specs, prediction])).graph
        # The nodes before the network, the network, and the nodes after it.
        middle = parts(self._network, _NETWORK, {**self._sockets, "prediction": _PREDICTION})
        before = ancestors(rest.node, self._sockets.values())
        first = {node.name for node in before}
        after = [node for node in rest.node if node.name not in first]
        nodes, constants = [*before, *middle.node, *after], [*rest.initializer, *middle.initializer]
        values = {value.name: value for value in rest.output}
        inputs, results = [value_info(spec) for spec in specs], [values[name] for name in outputs]
        return tidy(helper.make_graph(nodes, "step", inputs, results, constants))


def _with_result_named(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    graph = parts(model, "", {RESULT: name})
    *others, result = model.graph.output
    results, inputs = [*others, renamed(result, name)], model.graph.input
    return finished(helper.make_graph(graph.node, "step", inputs, results, graph.initializer))
