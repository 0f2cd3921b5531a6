"""The graph of an ONNX file as the one that a sampler calls, for any number of images.

Files are exported for a batch of one, with a scalar timestep, channels first and in any opset;
`onnx_network` compares what is made of them here with the file itself.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper, version_converter

from ...trainer.errors import InputError, first_line
from .onnx_file import OnnxFile, declared, in_single_precision
from .onnx_sizes import settle_sizes

OPSET = 18
_BATCH = "N"
# What is the same for all of these follows from the sizes alone.
_BATCHES = (1, 2, 5)
# Before the names of the file, which could be those of a sampler's inputs, and before new ones.
_PREFIX, _NEW = "onnx/", "around/"
# The sizes of an input that is one number.
_ONE = ((), (1,))
# What makes one number of one number.
_POINTWISE = ("Add", "Cast", "Div", "Identity", "Mul", "Sub")

Shapes = Mapping[str, Sequence[int | str]]


def at_opset(file: OnnxFile) -> onnx.ModelProto:
    """The file's model in opset 18 and float32; InputError for one that has no such form."""
    model = in_single_precision(file.model)
    try:
        if file.opset < OPSET:
            return version_converter.convert_version(model, OPSET)
        del model.opset_import[:]
        model.opset_import.append(helper.make_opsetid("", OPSET))
        onnx.checker.check_model(model)
    except (RuntimeError, onnx.checker.ValidationError) as error:
        raise InputError(
            f"network={file.path}: uses opset {file.opset} and cannot be converted to {OPSET} "
            f"({first_line(error)}); export it with opset_version={OPSET}"
        ) from error
    return model


def for_any_batch(model: onnx.ModelProto, shapes: Shapes, *, fixed: bool) -> None:
    """Declare the inputs with these shapes, and change what is made for one image or one scalar.

    A graph of a `fixed` batch of one reshapes to sizes that hold that batch. It fails where
    onnxruntime cannot run the model.
    """
    graph = model.graph
    ranks = {
        value.name: len(sizes) for value in graph.input if (sizes := declared(value)[0]) in _ONE
    }
    scalars = [name for name, rank in ranks.items() if not rank]
    if fixed:
        _declare(graph, {name: [1, *shape[1:]] for name, shape in shapes.items()}, scalars)
        settle_sizes(model, [1])
    _keep_per_image(graph, ranks)
    _declare(graph, shapes)
    settle_sizes(model, _BATCHES)


def _declare(graph: onnx.GraphProto, shapes: Shapes, scalars: Collection[str] = ()) -> None:
    """Give the inputs these shapes, except those that are scalars, and drop all other shapes."""
    for value in graph.input:
        dtype = value.type.tensor_type.elem_type
        shape = [] if value.name in scalars else shapes[value.name]
        value.CopyFrom(helper.make_tensor_value_info(value.name, dtype, shape))
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    del graph.value_info[:]


def _keep_per_image(graph: onnx.GraphProto, ranks: dict[str, int]) -> None:
    """Where one number gets axes or meets a row, give the axes to one number for each image.

    `ranks` has the inputs of one number, with how many axes they had in the file.
    """
    constants, nodes = _constants(graph), []
    single = {name for name, array in constants.items() if array.size == 1 and array.ndim < 2}
    for node in graph.node:
        numbers = [name for name in node.input if name in ranks]
        others = {*node.input}.difference(numbers, single)
        if numbers and node.op_type in ("Reshape", "Unsqueeze") and node.input[1] in constants:
            rank = len(constants[node.input[1]])
            rank += ranks[numbers[0]] if node.op_type == "Unsqueeze" else 0
            node.CopyFrom(_with_axes(graph, node.input[0], node.output[0], rank))
            ranks |= {node.output[0]: 1} if rank == 1 else {}
        elif numbers and node.op_type in _POINTWISE and not others:
            ranks[node.output[0]] = max(ranks[name] for name in numbers)
        elif numbers and node.op_type in _POINTWISE:
            rank = max((constants[name].ndim for name in others if name in constants), default=0)
            if rank > 1:
                nodes.append(_with_axes(graph, numbers[0], f"{node.output[0]}/column", rank))
                node.input[[*node.input].index(numbers[0])] = nodes[-1].output[0]
        nodes.append(node)
    replaced = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(replaced)


def _with_axes(graph: onnx.GraphProto, name: str, output: str, rank: int) -> onnx.NodeProto:
    """A Reshape of one number for each image to so many axes."""
    sizes = _constant(graph, f"{output}/sizes", np.array([-1, *[1] * (rank - 1)], np.int64))
    return helper.make_node("Reshape", [name, sizes], [output], output)


def _constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return constants


def _constant(graph: onnx.GraphProto, name: str, values: np.ndarray) -> str:
    graph.initializer.append(numpy_helper.from_array(values, name))
    return name


class Around:
    """Collects the nodes between a sampler's inputs and outputs and those of a file."""

    def __init__(self, model: onnx.ModelProto) -> None:
        inner = compose.add_prefix(model, _PREFIX).graph
        names = {_PREFIX}
        for place, node in enumerate(inner.node):
            name = _PREFIX + node.name.removeprefix(_PREFIX).lstrip("/")
            node.name = f"{name}{node.op_type}_{place}" if name in names else name
            names.add(node.name)
        self.nodes, self._inner = list(inner.node), inner
        self.constants = list(inner.initializer)
        self._before: list[onnx.NodeProto] = []
        self._after: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, dtype: int, shape: Sequence[int]) -> str:
        """Declare an input of the sampler's for N images; its name."""
        self._inputs.append(helper.make_tensor_value_info(name, dtype, [_BATCH, *shape]))
        return name

    def before(self, operator: str, *inputs: str, output: str = "", **settings: Any) -> str:
        """Add a node before the file's; its output, or the file's input `output`."""
        number = len(self._before)
        name = _PREFIX + output if output else f"{_NEW}before{number}"
        node = helper.make_node(operator, inputs, [name], f"{_NEW}before{number}", **settings)
        self._before.append(node)
        return name

    def after(self, operator: str, *inputs: str, output: str = "", **settings: Any) -> str:
        """Add a node after the file's; its output."""
        own = f"{_NEW}after{len(self._after)}"
        node = helper.make_node(operator, inputs, [output or own], own, **settings)
        self._after.append(node)
        return output or own

    def constant(self, values: np.ndarray) -> str:
        """Keep a constant; its name."""
        name = f"{_NEW}constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def inner_output(self, place: int) -> str:
        """The name of an output of the file."""
        return self._inner.output[place].name

    def finished(self, shape: Sequence[int], order: Sequence[str]) -> onnx.ModelProto:
        """The model of inputs in this order, whose `prediction` has this shape for each image."""
        self._inputs.sort(key=lambda value: order.index(value.name))
        outputs = [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, [_BATCH, *shape])]
        nodes = [*self._before, *self.nodes, *self._after]
        graph = helper.make_graph(nodes, "network", self._inputs, outputs, self.constants)
        return helper.make_model_gen_version(graph, opset_imports=[helper.make_opsetid("", OPSET)])
