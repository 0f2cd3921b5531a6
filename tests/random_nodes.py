"""Graphs of one node drawn at random, to be checked and run.

As a program it answers like `hostile_child`; the texts are operators and numbers, as "Conv 3".
"""

import sys
from typing import Any

import numpy as np
import onnx
import onnxruntime
from hostile_child import answer
from onnx import AttributeProto, TensorProto, defs, helper, numpy_helper

from diffkiln.runtime.checking import GraphError, Port, Signature, check

SIGNATURE = Signature(
    (Port("seeds", "int64", ("N",)), Port("steps", "int64", ())),
    (Port("images", "float32", ("N", 1)),),
)
TYPES = {
    name: helper.np_dtype_to_tensor_dtype(np.dtype(name))
    for name in ("float32", "float16", "float64", "int64", "int32", "uint8", "int8", "bool")
}
WHOLE = (-(2**63), -(2**31), -9, -2, -1, 0, 0, 1, 1, 2, 2, 3, 4, 64, 4096, 2**31, 2**63 - 1)
FLOATS = (0.0, 1.0, -1.0, 0.5, 2.0, 1e-30, 1e30, -1e30)
SHAPES = ((1, 4, 8, 8), (1, 8, 8, 4), (1, 1, 1, 1), (1, 4, 1, 8), (1, 0, 8, 8), (1, 2, 2, 2))
TEXTS = (
    *("linear", "nearest", "cubic", "constant", "reflect", "edge", "wrap", "half_pixel", "floor"),
    *("align_corners", "asymmetric", "tf_crop_and_resize", "SAME_UPPER", "VALID", "CRD", "RIGHT"),
    *("add", "max", "none", "ij,jk->ik", "...ij,...jk->...ik", "nchw,nchw->n", "i..", ""),
)


class Graph:
    """One node of `operator` among tensors of many types and shapes, some known only when run."""

    def __init__(self, operator: str, number: int) -> None:
        self._random = np.random.default_rng([number, *operator.encode()])
        self._schema = defs.get_schema(operator, 18)
        self._types: dict[str, str] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._rows = self._add("int64", "Reshape", "seeds", self._constant([-1, 1, 1, 1]))
        self._types |= {"seeds": "int64", "steps": "int64"}
        self._favourite = self._one(list(TYPES))
        self._draw_tensors()

    def model(self) -> bytes:
        """The serialised graph, whose output takes all that the node makes."""
        made = self._draw_node()
        scalars = [self._add("float32", "Cast", name, to=TensorProto.FLOAT) for name in made]
        scalars = [self._add("float32", "ReduceSum", name, keepdims=0) for name in scalars]
        flat = self._add("float32", "Cast", self._rows, to=TensorProto.FLOAT)
        flat = self._add("float32", "Reshape", flat, self._constant([-1, 1]))
        self._nodes.append(helper.make_node("Sum", [flat, *scalars], ["images"]))
        graph = helper.make_graph(
            self._nodes,
            "random",
            [
                helper.make_tensor_value_info("seeds", TensorProto.INT64, ["N"]),
                helper.make_tensor_value_info("steps", TensorProto.INT64, []),
            ],
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 1])],
            self._constants,
        )
        opset = helper.make_opsetid("", 18)
        return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _one(self, choices: Any) -> Any:
        return choices[self._random.integers(len(choices))]

    def _some(self, choices: Any, *counts: int) -> list[Any]:
        return [self._one(choices) for _ in range(self._one(counts))]

    def _add(self, dtype: str, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self._types)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        self._types[name] = dtype
        return name

    def _constant(self, values: Any) -> str:
        array, name = np.asarray(values), f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array, name))
        self._types[name] = array.dtype.name
        return name

    def _dtype(self) -> str:
        return self._favourite if self._chance(0.6) else self._one(list(TYPES))

    def _draw_tensors(self) -> None:
        for _ in range(4):
            dtype, shape = self._dtype(), self._one(SHAPES)
            constant = self._constant(self._random.integers(0, 5, shape).astype(dtype))
            rows = self._add(dtype, "Cast", self._rows, to=TYPES[dtype])
            tensor = self._add(dtype, "Or" if dtype == "bool" else "Add", rows, constant)
            if self._chance(0.3):
                tensor = self._add(dtype, "Transpose", tensor, perm=[3, 1, 0, 2])
            if self._chance(0.3):
                shape = self._one(([-1], [0, -1], [0, 0, -1], [0, 0, 0, -1, 1]))
                self._add(dtype, "Reshape", tensor, self._constant(shape))
        for _ in range(4):
            shape = self._some((0, 1, 2, 3, 8), 0, 1, 2, 3, 4)
            self._constant(self._random.integers(-4, 5, shape).astype(self._dtype()))
            self._constant(np.array(self._some(WHOLE, 0, 1, 1, 2, 3, 4, 8), np.int64))
        self._constant(np.array(self._one(WHOLE)))
        self._constant(np.array(self._one(FLOATS), np.float32))
        kernel = self._some((1, 2, 3, 4), 2) + self._some((1, 3, 5), 1, 2)
        self._constant(self._random.standard_normal(kernel).astype(np.float32))

    def _draw_node(self) -> list[str]:
        inputs: list[str] = []
        variable, optional = (
            defs.OpSchema.FormalParameterOption.Variadic,
            defs.OpSchema.FormalParameterOption.Optional,
        )
        for formal in self._schema.inputs:
            if formal.option == optional and self._chance(0.35):
                inputs.append("")
                continue
            for _ in range(self._one((1, 2, 3)) if formal.option == variable else 1):
                inputs.append(self._fitting(formal, first=not inputs))
        if self._chance(0.7):
            while inputs and not inputs[-1]:
                inputs.pop()
        if inputs and self._chance(0.05):
            inputs[self._random.integers(len(inputs))] = ""
        if self._chance(0.05):
            inputs.append(self._one(list(self._types)))
        count = self._one((1, 2)) if len(self._schema.outputs) > 1 else 1
        outputs = [f"made{place}" for place in range(count)]
        node = helper.make_node(self._schema.name, inputs, outputs)
        node.attribute.extend(self._attributes())
        self._nodes.append(node)
        return outputs

    def _fitting(self, formal: Any, *, first: bool) -> str:
        """A tensor of a type that the operator takes, mostly."""
        names = {"float": "float32", "double": "float64"}
        types = {
            names.get(text[7:-1], text[7:-1])
            for constraint in self._schema.type_constraints
            if constraint.type_param_str == formal.type_str
            for text in constraint.allowed_type_strs
        } or {formal.type_str[7:-1]}
        found = [name for name, dtype in self._types.items() if dtype in types]
        if first:  # mostly of what is only known when it is run
            found = [name for name in found if not name.startswith("c")] or found
        return self._one(list(self._types) if self._chance(0.05) or not found else found)

    def _attributes(self) -> list[AttributeProto]:
        made = []
        for name, attribute in self._schema.attributes.items():
            whole = (-2, -1, 0, 1, 1, 2, 2, 3) if self._chance(0.8) else WHOLE
            values: Any = {
                "INT": self._one(whole),
                "INTS": self._some(whole, 1, 2, 2, 4),
                "FLOAT": self._one(FLOATS),
                "FLOATS": self._some(FLOATS, 1, 2),
                "STRING": self._one(TEXTS),
                "TENSOR": numpy_helper.from_array(np.array(self._some(WHOLE, 1, 2))),
            }.get(str(attribute.type).rpartition(".")[2])
            if values is not None and self._chance(0.95 if attribute.required else 0.5):
                made.append(helper.make_attribute(name, values))
        return made


def attempt(line: str) -> tuple[str, str]:
    """The kind of outcome and its message."""
    operator, number = line.split()
    content = Graph(operator, int(number)).model()
    try:
        check(content, SIGNATURE)
    except GraphError as error:
        return "refused", str(error)
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    try:
        session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
        session.run(None, {"seeds": np.array([0]), "steps": np.array(1)})
    except Exception as error:  # onnxruntime's errors have no other common base
        return "failed", str(error)[:200]
    return "ran", ""


if __name__ == "__main__":
    answer(sys.stdin, attempt)
