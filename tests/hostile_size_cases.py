"""Hostile graphs that hide how much they ask for, or what would end the process that runs them."""

import itertools
from typing import Any

import numpy as np
from hostile_graphs import HUGE, Change, GraphCase, body, constant, first, loop, with_node
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper
from onnx.numpy_helper import from_array

make = helper.make_node
INT64, UINT32 = TensorProto.INT64, TensorProto.UINT32


def whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def at_first(*nodes: NodeProto, **constants: Any) -> Change:
    """Nodes and constants at the start of the graph."""

    def change(model: ModelProto) -> None:
        for name, value in constants.items():
            constant(model, value, name)
        first(model, *nodes)

    return change


def filled(*nodes: NodeProto, **constants: Any) -> Change:
    """A tensor of ones whose shape these nodes make."""
    value = from_array(np.array([1], np.uint8))
    return at_first(
        *nodes, make("ConstantOfShape", ["evil_shape"], ["evil"], value=value), **constants
    )


def in_loop(*nodes: NodeProto, carried: str, given: str, **constants: Any) -> Change:
    """A Loop of its own whose body makes `given` of `carried`, which begins with the seeds."""
    tensor = helper.make_tensor_value_info
    inside = helper.make_graph(
        [*nodes, make("Identity", ["yes"], ["still"])],
        "inside",
        [
            tensor("k", INT64, []),
            tensor("yes", TensorProto.BOOL, []),
            tensor(carried, INT64, ["n"]),
        ],
        [tensor("still", TensorProto.BOOL, []), tensor(given, INT64, ["m"])],
    )
    return at_first(make("Loop", ["steps", "", "seeds"], ["evil"], body=inside), **constants)


def body_of(tag: str, made: NodeProto, *constants: TensorProto) -> GraphProto:
    """A body that carries nothing and gathers what a node makes."""
    tensor = helper.make_tensor_value_info
    return helper.make_graph(
        [made, make("Identity", [f"{tag}_yes"], [f"{tag}_still"])],
        tag,
        [tensor(f"{tag}_k", INT64, []), tensor(f"{tag}_yes", TensorProto.BOOL, [])],
        [
            tensor(f"{tag}_still", TensorProto.BOOL, []),
            tensor(made.output[0], INT64, []),
        ],
        constants,
    )


def name_of_an_earlier_body(model: ModelProto) -> None:
    """The first body makes steps + 1 under the name that later is steps times a lot."""
    once = body_of("a", make("Add", ["steps", "one"], ["many"]))
    again = body_of("b", make("Identity", ["b_k"], ["b_made"]))
    at_first(
        make("Loop", ["steps", ""], ["gathered"], body=once),
        make("Mul", ["steps", "huge"], ["many"]),
        make("Loop", ["many", ""], ["evil"], body=again),
        one=np.int64(1),
        huge=np.int64(HUGE),
    )(model)


def constant_of_an_earlier_body(model: ModelProto) -> None:
    once = body_of("a", make("Identity", ["a_k"], ["a_made"]), from_array(np.array(1), "extra"))
    again = body_of("b", make("Identity", ["b_k"], ["b_made"]))
    at_first(
        make("Loop", ["steps", ""], ["gathered"], body=once),
        make("Identity", ["huge"], ["extra"]),
        make("Add", ["steps", "extra"], ["many"]),
        make("Loop", ["many", ""], ["evil"], body=again),
        huge=np.int64(HUGE),
    )(model)


def images_by(*nodes: NodeProto, **constants: Any) -> Change:
    """Nodes behind all others, which make `images` of `drawn`."""

    def change(model: ModelProto) -> None:
        for node in model.graph.node:
            node.output[:] = ["drawn" if name == "images" else name for name in node.output]
        for name, value in constants.items():
            constant(model, value, name)
        model.graph.node.extend(nodes)

    return change


def sizes_in_letters(model: ModelProto) -> None:
    for dim in model.graph.output[0].type.tensor_type.shape.dim:
        if dim.HasField("dim_value"):
            dim.dim_param = str(dim.dim_value)


def output_with_an_arrow(model: ModelProto) -> None:
    """So that a text of inputs and outputs reads as if there were others."""
    images_by(make("Identity", ["drawn"], ["b -> images"]), make("Identity", ["drawn"], ["a"]))(
        model
    )
    model.graph.output[0].name = "b -> images"
    model.graph.output.insert(0, helper.make_tensor_value_info("a", TensorProto.UINT8, [2]))


def lying_attribute(model: ModelProto) -> None:
    node = next(node for node in body(model).node if node.op_type == "Conv")
    next(a for a in node.attribute if a.name == "strides").type = AttributeProto.FLOATS


def window(**attributes: Any) -> Change:
    return at_first(
        make("Conv", ["x", "w"], ["evil"], **attributes), x=ones(1, 2, 4, 4), w=ones(2, 2, 3, 3)
    )


def no_kernel(model: ModelProto) -> None:
    at_first(make("Conv", ["x", "w"], ["evil"]), x=ones(1, 2, 4, 4), w=ones(2, 2, 0, 0))(model)


def pools(model: ModelProto) -> None:
    names = ["x", "a", "b", "evil"]
    side = 4096
    at_first(
        *(
            make("AveragePool", [x], [y], kernel_shape=[side] * 2, pads=[side - 1] * 4)
            for x, y in itertools.pairwise(names)
        ),
        x=ones(1, 1, 1, 1),
    )(model)


def operators(*names: str) -> list[tuple[str, Change, str]]:
    return [
        (f"operator {name}", with_node(name, ones(1)), f"'{name}', an operator that no sampler")
        for name in names
    ]


UNKNOWN = r"of which input \d is not computed of shapes and constants"
CONSTANTS = r"comes to [\d.]+e[+]\d+ bytes of constants"
TENSORS = r"comes to [\d.]+e[+]\d+ bytes of tensors for one image"
DIVIDES = "divides whole numbers by what is not known to be above zero"

_TABLE: list[tuple[str, Change, str]] = [
    # Numbers that are more than they look.
    (
        "size of one number thrice",
        filled(
            make("Gather", ["side", "again"], ["evil_shape"]),
            side=whole(2**11),
            again=whole(0, 0, 0),
        ),
        CONSTANTS,
    ),
    *(
        (
            f"size that {kind} broadcasts",
            filled(
                make(kind, ["side", "others"], ["evil_shape"]), side=whole(2**11), others=others
            ),
            pattern,
        )
        for kind, others, pattern in (
            ("Add", whole(0, 0, 0), CONSTANTS),
            ("Max", whole(1, 1, 1), UNKNOWN),
            ("Mul", whole(1, 1, 1), CONSTANTS),
            ("Sub", whole(0, 0, 0), CONSTANTS),
        )
    ),
    (
        "size that Where broadcasts",
        filled(
            make("Where", ["chosen", "side", "other"], ["evil_shape"]),
            chosen=np.array([True] * 3),
            side=whole(2**11),
            other=whole(1),
        ),
        UNKNOWN,
    ),
    (
        "size that Expand repeats",
        filled(
            make("Expand", ["side", "thrice"], ["evil_shape"]), side=whole(2**11), thrice=whole(3)
        ),
        UNKNOWN,
    ),
    (
        "size of -1 as a whole number without sign",
        filled(
            make("Cast", ["minus"], ["large"], to=UINT32),
            make("Cast", ["large"], ["evil_shape"], to=INT64),
            minus=whole(-1),
        ),
        UNKNOWN,
    ),
    (
        "size below zero that wraps round",
        filled(
            make("Sub", ["none", "one"], ["large"]),
            make("Cast", ["large"], ["evil_shape"], to=INT64),
            none=np.array([0], np.uint32),
            one=np.array([1], np.uint32),
        ),
        UNKNOWN,
    ),
    (
        "size of a remainder",
        filled(make("Mod", ["minus", "huge"], ["evil_shape"]), minus=whole(-1), huge=whole(2**33)),
        CONSTANTS,
    ),
    (
        "size of many numbers rounded up",
        filled(
            make("Ceil", ["little"], ["up"]),
            make("Cast", ["up"], ["evil_shape"], to=INT64),
            little=np.full(8, 20.01, np.float32),
        ),
        UNKNOWN,
    ),
    (
        "size of one by very little",
        filled(
            make("Mul", ["little", "little"], ["less"]),
            make("Div", ["one", "less"], ["much"]),
            make("Cast", ["much"], ["evil_shape"], to=INT64),
            little=np.array([1e-5], np.float32),
            one=ones(1),
        ),
        UNKNOWN,
    ),
    (
        "size of what rounding leaves",
        filled(
            make("Add", ["large", "one"], ["rounded"]),
            make("Sub", ["large", "rounded"], ["left"]),
            make("Sub", ["left", "most"], ["minus"]),
            make("Neg", ["minus"], ["much"]),
            make("Cast", ["much"], ["evil_shape"], to=INT64),
            large=np.array([2**25], np.float32),
            one=np.array([1], np.float32),
            most=np.array([2**33], np.float32),
        ),
        UNKNOWN,
    ),
    (
        "range of very small steps",
        at_first(
            make("Mul", ["little", "little"], ["less"]),
            make("Range", ["zero", "one", "less"], ["evil"]),
            little=np.float32(1e-6),
            zero=np.float32(0),
            one=np.float32(1),
        ),
        UNKNOWN,
    ),
    (
        "enlargement by computed scales",
        at_first(
            make("Mul", ["each", "times"], ["scales"]),
            make("Resize", ["x", "", "scales"], ["evil"]),
            x=ones(1, 1, 32, 32),
            each=ones(4),
            times=np.array([31], np.float32),
        ),
        UNKNOWN,
    ),
    ("one large constant", filled(evil_shape=whole(2**27)), CONSTANTS),
    (
        "many constants that are not large",
        at_first(
            *(make("ConstantOfShape", ["evil_shape"], [f"c{k}"]) for k in range(40)),
            evil_shape=whole(2**20),
        ),
        CONSTANTS,
    ),
    (
        "size of the size of a constant",
        filled(
            make("Shape", ["x"], ["side"]),
            make("Concat", ["side", "side", "side"], ["evil_shape"], axis=0),
            x=np.ones(2**12, np.uint8),
        ),
        CONSTANTS,
    ),
    # Tensors that only a run makes.
    (
        "one hot of many",
        at_first(
            make("Expand", ["seeds", "many"], ["x"]),
            make("OneHot", ["x", "depth", "values"], ["evil"]),
            many=whole(100),
            depth=np.int64(2**25),
            values=np.array([0, 1], np.float32),
        ),
        TENSORS,
    ),
    (
        "outer product of what is drawn",
        at_first(
            make("Expand", ["seeds", "rows"], ["x"]),
            make("Expand", ["seeds", "columns"], ["y"]),
            make("Add", ["x", "y"], ["evil"]),
            rows=whole(50_000, 1),
            columns=whole(1, 50_000),
        ),
        TENSORS,
    ),
    (
        "every image with every other",
        at_first(
            make("Unsqueeze", ["seeds", "last"], ["x"]),
            make("Mul", ["x", "seeds"], ["evil"]),
            last=whole(1),
        ),
        "whose result grows faster than the number of images",
    ),
    (
        "size of the number of images squared",
        filled(make("Shape", ["seeds"], ["n"]), make("Mul", ["n", "n"], ["evil_shape"])),
        "whose result grows faster than the number of images",
    ),
    (
        "size of a size squared",
        filled(
            make("Expand", ["seeds", "many"], ["x"]),
            make("Shape", ["x"], ["n"]),
            make("Concat", ["n", "n"], ["evil_shape"], axis=0),
            many=whole(92_000),
        ),
        "whose result grows faster than the number of images",
    ),
    (
        "size that a slice may lack",
        at_first(
            make("Concat", ["seeds", "seeds"], ["x"], axis=0),
            make("Unsqueeze", ["steps", "axis"], ["k"]),
            make("Slice", ["x", "axis", "k"], ["y"]),
            make("Shape", ["seeds"], ["n"]),
            make("Slice", ["y", "axis", "n"], ["z"]),
            make("Shape", ["z"], ["rows"]),
            make("Concat", ["rows", "rest"], ["evil_shape"], axis=0),
            make("Tile", ["seeds", "times"], ["many"]),
            make("Reshape", ["many", "evil_shape"], ["evil"]),
            axis=whole(0),
            rest=whole(-1),
            times=whole(100),
        ),
        "Reshape into a shape that is not computed of shapes and constants",
    ),
    (
        "size by seed",
        filled(make("Mul", ["seeds", "k"], ["evil_shape"]), k=whole(2**30)),
        "input 0 (is not computed|has the shape)",
    ),
    (
        "size by steps",
        filled(
            make("Unsqueeze", ["steps", "axis"], ["n"]),
            make("Mul", ["n", "k"], ["evil_shape"]),
            axis=whole(0),
            k=whole(2**30),
        ),
        UNKNOWN,
    ),
    (
        "tiles",
        at_first(
            make("Expand", ["seeds", "many"], ["x"]),
            make("Tile", ["x", "times"], ["evil"]),
            many=whole(2**12),
            times=whole(2**20),
        ),
        TENSORS,
    ),
    (
        "loop that doubles",
        in_loop(make("Concat", ["x", "x"], ["xx"], axis=0), carried="x", given="xx"),
        r"a Loop that carries 'seeds' as int64\[N\] and gives it back as int64\[2N\]",
    ),
    (
        "loop that shrinks",
        in_loop(
            make("Slice", ["x", "start", "end"], ["xx"]),
            carried="x",
            given="xx",
            start=whole(0),
            end=whole(1),
        ),
        r"a Loop that carries 'seeds' as int64\[N\] and gives it back as int64\[1\]",
    ),
    (
        "loop that grows by its count",
        in_loop(
            make("Unsqueeze", ["k", "axis"], ["n"]),
            make("Tile", ["x", "n"], ["xx"]),
            carried="x",
            given="xx",
            axis=whole(0),
        ),
        UNKNOWN,
    ),
    (
        "loop that changes the type",
        in_loop(make("Cast", ["x"], ["xx"], to=TensorProto.FLOAT), carried="x", given="xx"),
        r"carries 'seeds' as int64\[N\] and gives it back as float32\[N\]",
    ),
    ("loop by a name of an earlier body", name_of_an_earlier_body, "has more than one Loop"),
    ("loop by a number of an earlier body", constant_of_an_earlier_body, "more than one Loop"),
    (
        "dimensions that double",
        at_first(
            *(make("Gather", [f"x{k}", f"x{k}"], [f"x{k + 1}"]) for k in range(40)),
            x0=whole(0).reshape(1, 1),
        ),
        "cannot be run: Gather",
    ),
    ("a value that is a number", with_node("ConstantOfShape", whole(1), value=1), "cannot be run"),
    # Windows.
    (
        "strides upon strides",
        at_first(
            make("ConvTranspose", ["x", "w"], ["y"], strides=[64, 64]),
            make("ConvTranspose", ["y", "w"], ["evil"], strides=[64, 64]),
            x=ones(1, 1, 16, 16),
            w=ones(1, 1, 1, 1),
        ),
        CONSTANTS,
    ),
    ("margins", window(pads=[4096] * 4), r"cannot be run: Conv\(.*pads=\[4096"),
    ("margins below zero", window(pads=[-1] * 4), r"cannot be run: Conv\(.*pads=\[-1"),
    ("strides of zero", window(strides=[0, 0]), r"cannot be run: Conv\(.*strides=\[0"),
    ("strides for three", window(strides=[1, 1, 1]), r"cannot be run: Conv\(.*strides=\[1"),
    ("no groups", window(group=0), "cannot be run: Conv.*group=0"),
    ("groups that do not divide", window(group=3), "cannot be run: Conv.*group=3"),
    (
        "another kernel than the weights",
        window(kernel_shape=[9, 9]),
        "cannot be run: Conv.*kernel_shape=.9, 9.",
    ),
    ("window of nothing", no_kernel, r"cannot be run: Conv.*2, 2, 0, 0\]"),
    ("means of means of means", pools, "multiply-adds a step and image|bytes of constants"),
    (
        "blocks of nothing",
        with_node("DepthToSpace", ones(1, 4, 2, 2), blocksize=0),
        "cannot be run: DepthToSpace.*blocksize=0",
    ),
    # What native code does not survive.
    ("the least number by -1", with_node("Div", whole(-(2**63)), whole(-1)), DIVIDES),
    (
        "the least short number by -1",
        with_node("Div", np.array([-(2**31)], np.int32), np.array([-1], np.int32)),
        DIVIDES,
    ),
    (
        "the least number by one less the steps",
        at_first(
            make("Sub", ["one", "steps"], ["less"]),
            make("Div", ["least", "less"], ["evil"]),
            one=np.int64(0),
            least=whole(-(2**63)),
        ),
        DIVIDES,
    ),
    (
        "remainder by the seeds",
        at_first(make("Mod", ["one", "seeds"], ["evil"]), one=whole(1)),
        DIVIDES,
    ),
    (
        "remainder by the size of a slice",
        at_first(
            make("Sub", ["steps", "one"], ["less"]),
            make("Unsqueeze", ["less", "axis"], ["k"]),
            make("Slice", ["seeds", "axis", "k"], ["x"]),
            make("Shape", ["x"], ["n"]),
            make("Mod", ["seeds", "n"], ["evil"]),
            one=np.int64(1),
            axis=whole(0),
        ),
        DIVIDES,
    ),
    (
        "remainder of a division by zero",
        at_first(
            make("Sub", ["seeds", "seeds"], ["zero"]),
            make("Mod", ["one", "zero"], ["evil"]),
            one=whole(1),
        ),
        DIVIDES,
    ),
    *(
        (
            f"batch_dims={dims}",
            with_node("GatherND", ones(4), whole(0).reshape(1, 1), batch_dims=dims),
            f"cannot be run: GatherND.*batch_dims={dims}",
        )
        for dims in (-9, 99)
    ),
    *(
        (
            f"equation {equation!r}",
            with_node("Einsum", ones(4), equation=equation),
            "cannot be run: Einsum.*equation=",
        )
        for equation in ("i..", "", "...i->...", "i->j", "I,i->", "ij->i", "i->" + "j" * 2000)
    ),
    (
        "axes twice",
        with_node("Squeeze", ones(1, 1), whole(0, 0)),
        "cannot be run: Squeeze",
    ),
    ("an axis too many", with_node("Softmax", ones(2), axis=7), "cannot be loaded"),
    (
        "an order of one axis",
        with_node("Transpose", ones(2, 2), perm=[0, 0]),
        r"cannot be run: Transpose.*perm=\[0, 0\]",
    ),
    (
        "parts that are none",
        with_node("Split", ones(4), num_outputs=0),
        "cannot be run: Split.*num_outputs=0",
    ),
    *(
        (
            f"a bias that is left out of {kind}",
            at_first(make(kind, ["x", "x", ""], ["evil"]), x=ones(1, 1, 4)),
            f"has a node {kind} whose last input is left out by an empty name",
        )
        for kind in ("LayerNormalization", "Conv")
    ),
    ("numbers that are not there", with_node("Div", whole(), whole(1, 2, 3)), "cannot be run: Div"),
    (
        "one number into none",
        with_node("Reshape", ones(1), whole(0), allowzero=1),
        "cannot be run: Reshape",
    ),
    ("a range to nothing", with_node("Range", whole(), whole(), whole()), "cannot be run: Range"),
    (
        "steps and two more",
        at_first(make("Add", ["steps", "one", "one"], ["evil"]), one=np.int64(1)),
        "cannot be loaded by onnxruntime",
    ),
    ("two things denied", with_node("Not", *[np.array([True])] * 2), "cannot be loaded"),
    ("an attribute that lies about its type", lying_attribute, "'strides' of type 6 holds ints"),
    *operators(
        *("DFT", "STFT", "MelWeightMatrix", "HannWindow", "RoiAlign", "MaxRoiPool", "LSTM", "GRU"),
        *("NonZero", "Unique", "Compress", "Dropout", "MaxUnpool", "NonMaxSuppression"),
        *("QLinearConv", "DynamicQuantizeLinear", "Col2Im", "GridSample", "Det", "Multinomial"),
    ),
    # Pictures of another size than the bundle's.
    (
        "smaller pictures",
        images_by(
            make("Slice", ["drawn", "start", "end", "axes"], ["images"]),
            start=whole(0, 0),
            end=whole(8, 8),
            axes=whole(1, 2),
        ),
        r"gives images as uint8\[N, 8, 8, 3\], expected images uint8\[N, 16, 16, 3\]",
    ),
    (
        "smaller pictures by the steps",
        images_by(
            make("Unsqueeze", ["steps", "axis"], ["end"]),
            make("Slice", ["drawn", "start", "end", "one"], ["images"]),
            axis=whole(0),
            start=whole(0),
            one=whole(1),
        ),
        r"gave images of the shape \[1, \d, 16, 3\], expected \[1, 16, 16, 3\]",
    ),
    (
        "no pictures",
        images_by(make("Slice", ["drawn", "start", "start", "start"], ["images"]), start=whole(0)),
        r"gives images as uint8\[0, 16, 16, 3\]|gave images of the shape \[0, 16, 16, 3\]",
    ),
    (
        "pictures of pictures",
        images_by(make("Unsqueeze", ["drawn", "axis"], ["images"]), axis=whole(0)),
        r"gives images as uint8\[1, N, 16, 16, 3\]",
    ),
    (
        "one number for a picture",
        images_by(make("ReduceMax", ["drawn"], ["images"], keepdims=0)),
        r"gives images as uint8\[\]",
    ),
    (
        "pictures of another type",
        images_by(make("Cast", ["drawn"], ["images"], to=TensorProto.FLOAT)),
        r"gives images as float32\[N, 16, 16, 3\]",
    ),
    ("sizes in letters", sizes_in_letters, r"expected seeds int64\[N\], steps int64\[\] -> images"),
    ("output with an arrow in its name", output_with_an_arrow, "is a graph seeds"),
    # What keeps the check itself busy.
    (
        "a node of many outputs",
        at_first(make("Add", ["steps", "steps"], [f"x{k}" for k in range(200_000)])),
        "a node Add of 200000 outputs, at most 256",
    ),
    (
        "a long description",
        lambda model: setattr(model, "doc_string", "\U0001f33b" * 2**22),
        "holds a doc_string of 16777216 bytes, expected at most 1048576",
    ),
    (
        "metadata of many lists",
        lambda model: model.metadata_props.add(key="diffkiln.more", value="[" + "[]," * 2**20),
        "holds a value of 3145729 bytes",
    ),
    (
        "loop with two carried as one",
        lambda model: loop(model).input.append("steps"),
        "outputs; expected no condition or the constant true, 2 inputs",
    ),
]

SIZE_CASES = [GraphCase(*row) for row in _TABLE]
