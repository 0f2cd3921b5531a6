"""The table of hostile graphs: a name, what is changed, and the error that must come of it."""

import numpy as np
from hostile_graphs import (
    HUGE,
    GraphCase,
    attribute_by_reference,
    body,
    chained_growth,
    constant,
    convolution_attribute,
    cyclic,
    cyclic_body,
    external,
    first,
    graph_in_attribute,
    listed_steps,
    loop,
    loop_in_loop,
    many_nodes,
    misfit,
    more_steps,
    multiplied_steps,
    nested,
    numbered_body,
    renamed_weights,
    repeated_weights,
    set_dims,
    set_metadata,
    set_opset,
    set_weights,
    size_of_arithmetic,
    steps_or,
    weights,
    with_node,
    with_trips,
    without_weights,
)
from onnx import FunctionProto, NodeProto, SparseTensorProto, TensorProto, helper

COLUMN, ROW = np.ones((100_000, 1), np.float32), np.ones((1, 100_000), np.float32)

_TABLE = [
    # Loops that nothing ends, and bodies that are none.
    ("endless loop", with_trips(lambda _: ""), "Loop of '' trips, expected the input 'steps'"),
    (
        "loop of huge trips",
        with_trips(lambda model: constant(model, np.int64(HUGE))),
        "Loop of 'evil_constant' trips",
    ),
    ("loop of many times the steps", with_trips(multiplied_steps), "Loop of 'many' trips"),
    ("loop of many more steps", more_steps(HUGE), "Loop of 'more' trips"),
    ("loop of fewer steps", more_steps(-1), "Loop of 'more' trips"),
    ("loop of either steps or many", steps_or(HUGE), "Loop of 'either' trips"),
    ("loop of a list of steps", with_trips(listed_steps), "Loop of 'listed' trips"),
    (
        "loop whose condition is false",
        lambda m: loop(m).input.__setitem__(1, constant(m, np.bool_(False))),
        "Loop with the condition 'evil_constant'",
    ),
    (
        "loop whose condition is a list of none",
        lambda m: loop(m).input.__setitem__(1, constant(m, np.zeros(0, np.bool_))),
        "Loop with the condition 'evil_constant'",
    ),
    ("loop in its own body", loop_in_loop, "has more than one Loop"),
    ("loop without body", lambda m: loop(m).ClearField("attribute"), "Loop without body"),
    ("loop whose body is a number", numbered_body, "Loop without body"),
    ("loop with an empty body", lambda m: body(m).Clear(), "whose body has 0 inputs"),
    ("loop body without outputs", lambda m: body(m).ClearField("output"), "and 0 outputs"),
    (
        "loop body of too many inputs",
        lambda m: body(m).input.append(body(m).input[0]),
        "has 5 inputs",
    ),
    ("loop body that bites its tail", cyclic_body, "which nothing before it makes"),
    ("loop with a second body", lambda m: loop(m).attribute.append(loop(m).attribute[0]), "two at"),
    ("graphs in graphs", nested, "messages in messages, more than 16 deep"),
    ("cycle", cyclic, "takes 'hen', which nothing before it makes"),
    # Tensors that are missing, twice there, or called what nobody could read.
    ("missing weights", without_weights, "which nothing before it makes"),
    ("missing output", lambda m: m.graph.output[0].ClearField("name"), "is a graph seeds"),
    ("repeated weights", repeated_weights, "makes '.*' twice"),
    ("shadowed input", lambda m: constant(m, np.int64(1), "steps"), "makes 'steps' twice"),
    ("nameless constant", lambda m: constant(m, np.int64(1), ""), "tensor without a name"),
    ("very long name", renamed_weights("n" * 100_000), "name of 100000 characters"),
    ("name with a line break", renamed_weights("a\nb"), r"name 'a\\nb', which cannot be printed"),
    ("name written backwards", renamed_weights("\u202eoof"), r"'\\u202eoof', which cannot"),
    ("name of zeros", renamed_weights("\0\0"), r"'\\x00\\x00', which cannot"),
    (
        "lookalike input",
        lambda m: m.graph.input[0].__setattr__("name", "sееds"),
        "is a graph sееds",
    ),
    # Weights and shapes.
    ("NaN weight", set_weights(np.nan), "constant 'body/.*' with weights that are not finite"),
    ("infinite weight", set_weights(np.inf), "weights that are not finite"),
    ("NaN weight in half precision", set_weights(np.nan, np.float16), "not finite"),
    ("NaN weight in double precision", set_weights(np.nan, np.float64), "not finite"),
    (
        "NaN in a node",
        with_node("Constant", value=helper.make_tensor("x", 1, [1], [np.nan])),
        "not",
    ),
    ("a node for nothing", lambda m: first(m, NodeProto(op_type="Constant")), "makes nothing"),
    ("NaN in an attribute", convolution_attribute("alpha", float("nan")), r"alpha=\[nan\]"),
    ("weights of another type", set_weights(0, np.int32), "cannot be loaded by onnxruntime"),
    ("weights of texts", lambda m: weights(m).__setattr__("data_type", 8), "of data type 8"),
    ("weights of no type", lambda m: weights(m).ClearField("data_type"), "of data type 0"),
    ("weights of a type to come", lambda m: weights(m).__setattr__("data_type", 99), "type 99"),
    ("giant shape", set_dims(2**31, 2**31), r"shape \[2147483648, 2147483648\] with"),
    ("shape that overflows to nothing", set_dims(2**32, 2**32, data=b""), "expected 184467440737"),
    ("negative shape", set_dims(-1, 3, 3, 3), "none of them negative"),
    ("shape of a thousand dimensions", set_dims(*[1] * 1000), "at most 8 dimensions"),
    ("zip bomb", set_dims(HUGE, data=b"\0" * 4), "with 1 elements, expected 1099511627776"),
    ("half a number", set_dims(1, data=b"\0" * 3), "3 bytes, which are no whole float32"),
    ("weights given twice", lambda m: weights(m).float_data.append(1), "elements given twice"),
    ("weights in the wrong list", lambda m: weights(m).int64_data.append(1), "given twice"),
    ("weights elsewhere", external("weights.bin"), "holds (external_data|data_location)"),
    ("weights above", external("../../etc/passwd"), "holds (external_data|data_location)"),
    ("weights from the root", external("/dev/zero"), "holds (external_data|data_location)"),
    (
        "sparse bomb",
        lambda m: m.graph.sparse_initializer.append(SparseTensorProto(dims=[HUGE])),
        "holds sparse_initializer",
    ),
    # Little that asks for much.
    (
        "ConstantOfShape",
        with_node("ConstantOfShape", [HUGE]),
        "ConstantOfShape with which it comes to 4.4e.12 bytes of constants",
    ),
    (
        "Expand",
        with_node("Expand", [1.0], [2**20, 2**20]),
        "node Expand with which it comes to 8.8e.12 bytes",
    ),
    ("Tile", with_node("Tile", [1.0], [HUGE]), "node Tile with which it comes to 8.8e.12 bytes"),
    (
        "Range",
        with_node("Range", np.int64(0), np.int64(HUGE), np.int64(1)),
        "node Range with which it comes to 8.8e.12 bytes",
    ),
    (
        "Range of tiny steps",
        with_node("Range", 0.0, 1.0, 1e-30),
        "node Range with which it comes to .* bytes",
    ),
    ("Pad", with_node("Pad", [1.0], [0, HUGE]), "node Pad with which it comes to"),
    (
        "OneHot",
        with_node("OneHot", [0], np.int64(HUGE), [0.0, 1.0]),
        "node OneHot with which it comes to 8.8e.12 bytes",
    ),
    (
        "Resize by scales",
        lambda m: with_node(
            "Resize", np.ones((1, 1), np.float32), np.zeros(0, np.float32), [1e9, 1e9]
        )(m),
        "Resize with which it comes to 4e.18 bytes",
    ),
    ("growth in a chain", chained_growth, "ConstantOfShape with which it comes to 4.61e.18 bytes"),
    ("size from a power", size_of_arithmetic, "input 0 is not computed of shapes and constants"),
    ("outer product", with_node("MatMul", COLUMN, ROW), "comes to 4e.10 bytes of constants"),
    ("broadcast", with_node("Add", COLUMN, ROW), "comes to 4e.10 bytes of constants"),
    (
        "giant margins",
        convolution_attribute("pads", [2**30] * 4),
        r"cannot be run: Conv\(.*pads=\[1073741824, ",
    ),
    (
        "giant strides",
        convolution_attribute("strides", [2**30] * 2),
        r"cannot be run: Conv\(.*strides=\[1073741824, ",
    ),
    ("too many nodes", many_nodes, "nodes, expected at most 40000"),
    (
        "reshape that does not fit",
        misfit,
        r"gives images as uint8.7, 16, 16, 3., expected images uint8.N, 16",
    ),
    (
        "division by zero",
        with_node("Div", [1], [0]),
        "divides whole numbers by what is not known to be above zero",
    ),
    # Operators of others, and what a sampler has no use for.
    ("custom operator", with_node("Evil", [1.0], domain="com.evil"), "operator set 'com.evil'"),
    (
        "onnxruntime's own operator",
        with_node("Gelu", [1.0], domain="com.microsoft"),
        "com.microsoft",
    ),
    ("unknown operator", with_node("Evil", [1.0]), "'Evil', an operator that no sampler needs"),
    ("custom operator set", set_opset(1, "com.evil"), "operator sets"),
    ("older operators", set_opset(7), r"operator sets \[\('', 7\)\], expected ONNX's own"),
    ("newer operators", set_opset(99), r"operator sets \[\('', 99\)\]"),
    ("no operators", lambda m: m.ClearField("opset_import"), r"operator sets \[\]"),
    ("functions", lambda m: m.functions.append(FunctionProto(name="f")), "holds functions"),
    ("random numbers", with_node("RandomNormal", shape=[1]), "'RandomNormal', an operator that no"),
    ("branch", graph_in_attribute("If"), "'If', an operator that no sampler needs"),
    ("scan", graph_in_attribute("Scan"), "'Scan', an operator that no sampler needs"),
    ("graph where none belongs", graph_in_attribute("Neg"), "Neg with a graph in its attribute"),
    ("sequence", with_node("SequenceEmpty"), "'SequenceEmpty', an operator that no"),
    ("attribute by reference", attribute_by_reference, "holds ref_attr_name"),
    # A graph that is another than it says.
    (
        "other input type",
        lambda m: set_type(m, TensorProto.FLOAT),
        r"is a graph seeds float32\[N\]",
    ),
    ("no inputs", lambda m: m.graph.ClearField("input"), "is a graph  -> images"),
    ("no graph", lambda m: m.ClearField("graph"), "holds no graph"),
    ("no nodes", lambda m: m.graph.ClearField("node"), "gives 'images', which nothing in it makes"),
    ("no metadata", lambda m: m.ClearField("metadata_props"), "does not repeat 'format'"),
    ("other pixels", set_metadata("pixel_mean", "[0.1]"), "says of itself that pixel_mean is"),
    ("metadata that is no JSON", set_metadata("image", "{"), "does not repeat 'image'"),
    ("a piece of metadata missing", set_metadata("schedule", None), "does not repeat 'schedule'"),
    ("metadata twice", lambda m: m.metadata_props.append(m.metadata_props[0]), "metadata twice"),
]


def set_type(model: object, dtype: int) -> None:
    model.graph.input[0].type.tensor_type.elem_type = dtype  # type: ignore[attr-defined]


GRAPH_CASES = [GraphCase(*row) for row in _TABLE]
