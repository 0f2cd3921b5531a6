"""What happens to a graph, in order, from a TensorFlow function to a file.

`convert` takes a flat function, without a loop, as far as a tidy graph:

1. `translation.py`: tf2onnx makes an ONNX graph of it. Layers such as GroupNormalization trace in
   forms that ONNX has one operator for (`lowering.py`), which tf2onnx is told how to convert
   (`operators.py`); what it writes of resizing is put right (`resizing.py`).
2. `requirements.py`: an operator that ONNX lacks or the runtime refuses is an error that names its
   layer.
3. `tidying.py`: onnxruntime merges, folds and cancels what plain operators allow.
4. `layout_rules.py`, with `layout.py` and `layout_products.py`: Transposes between channels first
   and channels last are put off until something needs them, so that most are never made.
5. `naming.py`: of outputs that are the same value, the first is the original.

The network is converted once, by itself, and then joined to the step of each graph:

6. `half_precision.py`: with precision=float16, weights and most of the computation become float16.
7. `blocked.py`: images stay in the blocks in which onnxruntime's convolutions leave them.
8. `assemble.py`: each graph's own functions are converted and plugged together with the network.
9. `loops.py`: one step becomes the body of a Loop, which owns the weights, or is written out.
10. `naming.py`, again: nodes get an order and names that follow from the graph alone, so that the
    same weights give the same file.

`graph.py` has what all of them use. `cuda_check.py` reads finished graphs and changes none.
"""

from typing import Any

import onnx

from .graph import BATCH, finished
from .naming import copy_first_outputs
from .requirements import require_standard_operators, require_taken_operators
from .tidying import tidied, with_fewer_transposes
from .translation import translated


def convert(function: Any) -> onnx.ModelProto:
    """A tf.function with an input signature as a tidy model of opset 18, N its free dimension."""
    model = translated(function)
    require_standard_operators(model)
    model = tidied(model)
    require_taken_operators(model)
    graph = with_fewer_transposes(model).graph
    copy_first_outputs(graph)
    _name_batch(graph)
    return finished(graph)


def _name_batch(graph: onnx.GraphProto) -> None:
    """Call the free first dimension of inputs and outputs N."""
    for value in (*graph.input, *graph.output):
        dimensions = value.type.tensor_type.shape.dim
        if dimensions and not dimensions[0].dim_value:
            dimensions[0].dim_param = BATCH
