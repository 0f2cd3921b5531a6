"""Weights in half the bytes: float16 in the file, made float32 again by a Cast.

A runtime folds the Cast of a constant when it loads the file, so a step costs what it did.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..graph import graphs_of, replace_nodes

# Smaller ones are not worth a node.
_LEAST = 128


def store_in_half(model: onnx.ModelProto) -> None:
    """Keep constants of a model, and of its loops, as float16 where that changes no number."""
    for graph in graphs_of(model.graph):
        casts, constants = [], []
        for constant in graph.initializer:
            half = _in_half(constant)
            constants.append(half or constant)
            if half is not None:
                casts.append(
                    helper.make_node(
                        "Cast",
                        [half.name],
                        [constant.name],
                        name=f"{constant.name}/Cast",
                        to=TensorProto.FLOAT,
                    )
                )
        copies = [onnx.TensorProto.FromString(each.SerializeToString()) for each in constants]
        del graph.initializer[:]
        graph.initializer.extend(copies)
        replace_nodes(graph, [*casts, *graph.node])


def _in_half(constant: onnx.TensorProto) -> onnx.TensorProto | None:
    if constant.data_type != TensorProto.FLOAT or np.prod(constant.dims) < _LEAST:
        return None
    values = numpy_helper.to_array(constant)
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if not np.array_equal(half.astype(np.float32), values, equal_nan=True):
        return None
    return numpy_helper.from_array(half, f"{constant.name}/half")
