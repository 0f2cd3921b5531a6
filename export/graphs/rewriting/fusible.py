"""GELUs and layer normalizations in the forms that onnxruntime has one kernel for each.

They are six and thirteen operators otherwise. `translation/layer_normalization.py` has marked the
normalizations.
"""

from collections.abc import Mapping

import numpy as np
import onnx

from ..graph import add_constant, constants_of, drop_unused

_ROOT_OF_2 = np.sqrt(np.float32(2))

Makers = Mapping[str, onnx.NodeProto]


def write_fusible_gelus(graph: onnx.GraphProto) -> None:
    """Change x/2·erfc(−x/√2) to x/2·(1 + erf(x/√2)).

    onnxruntime looks for the latter, and for a division: TensorFlow multiplies by 1/√2.
    """
    constants = constants_of(graph)
    makers = {node.output[0]: node for node in graph.node}
    takers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    for erf in [node for node in graph.node if node.op_type == "Erf"]:
        scaled, after = makers.get(erf.input[0]), takers.get(erf.output[0], [])
        if scaled is None or len(after) != 1 or len(takers[erf.input[0]]) > 1:
            continue
        (taker,) = after
        value, negative = _divided(scaled, makers, constants)
        one = constants.get(taker.input[0])
        erfc = taker.op_type == "Sub" and one is not None and one.size == 1 and one == 1
        if value and negative == erfc:
            scaled.op_type = "Div"
            scaled.input[:] = [value, add_constant(graph, "root_of_2", _ROOT_OF_2)]
            if erfc:
                taker.op_type = "Add"
                taker.input[:] = taker.input[::-1]
    drop_unused(graph)


def _divided(
    node: onnx.NodeProto, makers: Makers, constants: Mapping[str, np.ndarray]
) -> tuple[str, bool]:
    """The x of a product x/√2 or −x/√2, and whether it is the latter; "" if it is neither."""
    values = [name for name in node.input if name not in constants]
    if node.op_type != "Mul" or len(values) != 1:
        return "", False
    (factor,) = [constants[name] for name in node.input if name in constants]
    if factor.size != 1 or abs(abs(factor.item()) * _ROOT_OF_2 - 1) > 1e-6:
        return "", False
    maker = makers.get(values[0])
    if maker is not None and maker.op_type == "Neg":
        return maker.input[0], factor.item() > 0
    return values[0], factor.item() < 0


def take_in_weights(graph: onnx.GraphProto) -> None:
    """Make the constants behind each marked normalization, gamma and beta, its inputs."""
    constants, outputs = constants_of(graph), {value.name for value in graph.output}
    for node in [node for node in graph.node if node.op_type == "LayerNormalization"]:
        scale = constants.get(node.input[1])
        if scale is None or len(node.input) > 2 or not (scale == 1).all():
            continue  # of a file that has its own
        channels = scale.shape
        for operator, place in (("Mul", 1), ("Add", 2)):
            takers = [other for other in graph.node if node.output[0] in other.input]
            if len(takers) != 1 or takers[0].op_type != operator or node.output[0] in outputs:
                continue
            names = [name for name in takers[0].input if name in constants]
            if names and constants[names[0]].shape == channels:
                node.input[place:] = names
                node.output[:] = takers[0].output
                graph.node.remove(takers[0])
