"""The ONNX graphs of a bundle.

One step is converted flat, and the Loop is made by hand, whose body owns the weights: outside of it
onnxruntime can neither prepack them nor use its blocked convolutions (docs/design.md has the
measurements). The network is converted once, by itself, and joined to the step of each graph.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, cast

import onnx
import tensorflow as tf
from onnx import helper

from ..baking.parts import FURTHER_SEEDS, SMALL, Network
from ..baking.process import RESULT, Process, Tensors, traced
from ..baking.signatures import Signatures
from ..baking.upscaling import Upscaler
from ..network.codec import Codec, blamed
from ..network.maps import FittedMap
from .conversion import convert, converted
from .graph import BATCH, ancestors, finished, parts, renamed, value_info
from .loops import looped, unrolled
from .naming import canonical
from .numbers import take_numbers
from .rewriting.blocked import blocked, declare_batch
from .rewriting.tidying import tidy

# A function of the signatures, without the network or with it.
_Parts = Callable[[Signatures], Callable[..., Tensors]]

UNROLLED = ("sampler", "from_noise")

_NETWORK, _DECODER, _ENCODER = "network", "decoder", "encoder"
# What a process does before its steps and after them, with the networks there.
_AROUND = {_ENCODER: "begin", _DECODER: "finish"}

# The free dimension inside of the network where classes are.
EVALUATIONS = "evaluations"


@dataclass(frozen=True)
class Plug:
    """A network's graph that takes its place in graphs that were converted without it.

    `spec` declares its prediction, and `plugged` returns signatures that call another network.
    """

    name: str
    graph: onnx.ModelProto
    spec: tf.TensorSpec
    plugged: Callable[[Signatures, Network], Signatures]

    @property
    def prefix(self) -> str:
        """What the names of its nodes begin with."""
        return f"{self.name}/"

    @property
    def sockets(self) -> dict[str, str]:
        """The outputs, of a graph without the network, that are the inputs of the network."""
        return {value.name: f"{self.name}_{value.name}" for value in self.graph.graph.input}


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
        batch = self._batch(name)
        # Guidance makes one or two evaluations of each image, and a table may choose in each step.
        guided = self.signatures.is_guided and not self.signatures.takes_guidance
        batch = EVALUATIONS if guided else batch
        separate_batches = guided and self.signatures.sampling.tables is not None
        plug = self._plug
        declare_batch(model, plug.prefix, plug.graph, batch, separate_batches=separate_batches)
        for plug in self._codec_plugs.values():
            declare_batch(model, plug.prefix, plug.graph, self._batch(name))
        take_numbers(model, as_lists=self.numbers_as_lists)
        canonical(model)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _batch(self, name: str) -> str | int:
        return self.batch_size if name in UNROLLED and self.batch_size else BATCH

    def _make(self, name: str) -> onnx.ModelProto:
        if name == "noise":
            return convert(self.signatures.noise)
        if name in (_DECODER, _ENCODER):
            return self._codec_graph(name)
        if name == "upscaler":
            return self._upscaler({})
        if name == "denoiser":
            specs = self.signatures.denoise.input_signature
            return self._joined(self._plug, lambda s: s.denoised, specs, self.signatures.estimates)
        if name == "step":
            step = self._step("sampler", lambda s: s.single_step)
            return _with_result_named(step, self.signatures.step_result)
        process = self.signatures.processes()[name]
        step = self._sampler_step if name in UNROLLED else self._step(name)
        around = self._around(name, process)
        if name in UNROLLED and self.unroll_steps:
            return unrolled(process, step, self.unroll_steps, self.batch_size, **around)
        return looped(process, step, **around)

    def _around(self, name: str, process: Process) -> dict[str, onnx.ModelProto]:
        """What begins and finishes a process, where there is a network in it."""
        if self.signatures.upscaler is not None:
            return {"finish": self._upscaler({SMALL: RESULT, "seeds": FURTHER_SEEDS})}
        begins_with_images = self.signatures.samples in {spec.name for spec in process.inputs}
        kinds = {_ENCODER: begins_with_images, _DECODER: process.finish is not None}
        made = {}
        for kind, plug in self._codec_plugs.items():
            if kinds[kind]:
                part = _AROUND[kind]
                made[part] = self._part(plug, name, part)
        return made

    def _part(self, plug: Plug, name: str, part: str) -> onnx.ModelProto:
        """The function `begin` or `finish` of a process, with a network in its place."""
        function = getattr(self.signatures.processes()[name], f"{part}_function")
        outputs = list(function.get_concrete_function().structured_outputs)

        def of(signatures: Signatures) -> Callable[..., Tensors]:
            inner = getattr(signatures.processes()[name], f"{part}_function").python_function
            return lambda **inputs: inner(*inputs.values())

        return self._joined(plug, of, function.input_signature, outputs)

    def _upscaler(self, names: dict[str, str]) -> onnx.ModelProto:
        """The second stage, with other names for some of its inputs."""
        graph = cast("Upscaler", self.signatures.upscaler).graph.graph
        inputs = [renamed(value, names.get(value.name, value.name)) for value in graph.input]
        kept = {value.name: value.name for value in (*graph.input, *graph.output)} | names
        inner = parts(finished(graph), "", kept)
        outputs, constants = graph.output, inner.initializer
        return finished(helper.make_graph(inner.node, graph.name, inputs, outputs, constants))

    def _codec_graph(self, name: str) -> onnx.ModelProto:
        """A decoder or an encoder by itself, with pixels of images as programs see them."""
        functions = {_DECODER: "decode", _ENCODER: "encode_latents"}
        function = getattr(self.signatures, functions[name])

        def of(signatures: Signatures) -> Callable[..., Tensors]:
            inner = getattr(signatures, functions[name]).python_function
            return lambda **inputs: inner(*inputs.values())

        outputs = list(function.get_concrete_function().structured_outputs)
        return self._joined(self._codec_plugs[name], of, function.input_signature, outputs)

    @cached_property
    def _plug(self) -> Plug:
        spec = self.signatures.prediction("network_prediction")
        return Plug(_NETWORK, blocked(self.network), spec, Signatures.with_network)

    @cached_property
    def _codec_plugs(self) -> dict[str, Plug]:
        """The decoder and the encoder, as far as there are any."""
        codec = self.signatures.codec
        plugs = {}
        for name in (_DECODER, _ENCODER):
            fitted = codec and getattr(codec, name)
            if not isinstance(fitted, FittedMap):
                continue
            numbers = self.signatures.image_numbers
            with blamed(name):
                if fitted.graph is None:
                    graph = convert(_prediction_of(fitted), numbers)
                else:
                    graph = converted(fitted.graph, numbers)
            spec = tf.TensorSpec([None, *fitted.given], tf.float32, f"{name}_prediction")
            plugs[name] = Plug(name, blocked(graph), spec, partial(_with_map, name))
        return plugs

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
        part = function or (lambda s: s.processes()[name].step)
        return self._joined(self._plug, part, specs, outputs)

    def _joined(
        self,
        plug: Plug,
        function: _Parts,
        specs: Sequence[tf.TensorSpec],
        outputs: Sequence[str],
    ) -> onnx.ModelProto:
        """The flat function of these inputs, by name, with the network's graph in its place."""

        def socketed(*tensors: tf.Tensor) -> Tensors:
            *inputs, predicted = tensors
            sockets: list[tf.Tensor] = []

            def network(inputs: list[tf.Tensor]) -> tf.Tensor:
                sockets.extend(inputs)
                return predicted

            names = [str(spec.name) for spec in specs]
            call = function(plug.plugged(self.signatures, network))
            results = call(**dict(zip(names, inputs, strict=True)))
            ends = zip(plug.sockets.values(), map(tf.identity, sockets), strict=True)
            return {**results, **dict(ends)}

        rest = convert(traced(socketed, [*specs, plug.spec]), self.signatures.image_numbers).graph
        # The nodes before the network, the network, and the nodes after it.
        names = {**plug.sockets, "prediction": str(plug.spec.name)}
        middle = parts(plug.graph, plug.prefix, names)
        before = ancestors(rest.node, plug.sockets.values())
        first = {node.name for node in before}
        after = [node for node in rest.node if node.name not in first]
        nodes, constants = [*before, *middle.node, *after], [*rest.initializer, *middle.initializer]
        values = {value.name: value for value in rest.output}
        inputs, results = [value_info(spec) for spec in specs], [values[name] for name in outputs]
        return tidy(helper.make_graph(nodes, "step", inputs, results, constants))


def _prediction_of(fitted: FittedMap) -> Any:
    """A decoder or an encoder as a tf.function of `given` → `prediction`."""
    spec = tf.TensorSpec([None, *fitted.taken], tf.float32, "given")
    return traced(lambda given: {"prediction": fitted(given)}, [spec])


def _with_map(name: str, signatures: Signatures, network: Network) -> Signatures:
    """Signatures whose decoder or encoder is another function."""
    codec = cast("Codec", signatures.codec)
    return signatures.with_codec(codec.with_call(name, lambda values: network([values])))


def _with_result_named(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    graph = parts(model, "", {RESULT: name})
    *others, result = model.graph.output
    results, inputs = [*others, renamed(result, name)], model.graph.input
    return finished(helper.make_graph(graph.node, "step", inputs, results, graph.initializer))
