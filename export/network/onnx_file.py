"""Networks in ONNX files: read within limits, and refused in one line where they are damaged."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, external_data_helper, helper, inliner, numpy_helper

from ...trainer.errors import InputError, first_line
from ..checks import may_be_meant
from .precision import in_float16

# As large as a graph of a bundle may be, which holds these weights in float32.
MOST_BYTES = 2**30
OLDEST_OPSET = 11
# Both names of ONNX's own domain.
_OWN = ("", "ai.onnx")
_RANDOM = ("Bernoulli", "Multinomial", "Random")
_HALF = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


@dataclass(frozen=True)
class OnnxFile:
    """The network of an .onnx file; `model` holds its weights, also those of files beside it."""

    path: Path
    model: onnx.ModelProto

    # TensorFlow has none of the weights.
    variables = ()

    @property
    def opset(self) -> int:
        """The version of ONNX's own operators that it is written in."""
        return next(each.version for each in self.model.opset_import if each.domain in _OWN)

    @property
    def is_half(self) -> bool:
        """Whether it has numbers of 16 bits."""
        values = (*self.model.graph.input, *self.model.graph.output)
        types = {value.type.tensor_type.elem_type for value in values}
        return bool(types.union(each.data_type for each in _tensors(self.model)) & {*_HALF})

    def rounded(self) -> "OnnxFile":
        """The same with its weights of float32 rounded to float16.

        Raises InputError for one beyond the range of float16.
        """
        model = onnx.ModelProto.FromString(self.model.SerializeToString())
        for each in model.graph.initializer:
            if each.data_type == TensorProto.FLOAT:
                values = numpy_helper.to_array(each)
                rounded = in_float16(each.name, values).astype(np.float32)
                each.CopyFrom(numpy_helper.from_array(rounded, each.name))
        return replace(self, model=model)

    def count_params(self) -> int:
        """How many weights it has."""
        sizes = (math.prod(each.dims) for each in _tensors(self.model) if _is_floating(each))
        return sum(sizes)


def read_onnx(path: Path) -> OnnxFile:
    """The network of a file, with the weights of the files beside it.

    Raises InputError for what is no ONNX file, too large, damaged, of an opset before 11, or has
    operators that are not ONNX's own, and for weights that are not finite.
    """
    if not path.is_file():
        raise InputError(f"network={path}: no such file; expected an .onnx file")
    if (size := path.stat().st_size) > MOST_BYTES:
        raise _too_large(path, size)
    try:
        model = onnx.load_model_from_string(path.read_bytes())
        _require_opset(path, model)
        _load_external(model, path)
        model = inliner.inline_local_functions(model) if model.functions else model
        onnx.checker.check_model(model)
        arrays = [(each.name, numpy_helper.to_array(each)) for each in _tensors(model)]
    except InputError:
        raise
    except (
        DecodeError,
        onnx.checker.ValidationError,
        ValueError,
        TypeError,
        RuntimeError,
    ) as error:
        raise _damaged(path, error) from error
    except OSError as error:  # of a file beside it
        raise InputError(
            f"network={path}: it or its weights cannot be read ({first_line(error)}); "
            "keep the files that were exported with it beside it"
        ) from error
    _require_own_operators(path, model)
    _require_finite(path, arrays)
    # Older files list their weights among the inputs.
    model.ir_version = max(model.ir_version, 4)
    given = {each.name for each in model.graph.initializer}
    for value in [each for each in model.graph.input if each.name in given]:
        model.graph.input.remove(value)
    return OnnxFile(path, model)


def in_single_precision(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model that computes in float32 what it had in 16 bits."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    for tensor in _tensors(copy):
        if tensor.data_type in _HALF:
            array = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    for value in (*copy.graph.input, *copy.graph.output):
        if value.type.tensor_type.elem_type in _HALF:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in copy.graph.node:
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype") and attribute.i in _HALF:
                attribute.i = TensorProto.FLOAT
    del copy.graph.value_info[:]
    return copy


def _tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """All tensors in the file: constants, and those in attributes of nodes."""
    graphs = [model.graph]
    for graph in graphs:
        yield from graph.initializer
        for attribute in (each for node in graph.node for each in node.attribute):
            yield from ([attribute.t] if attribute.HasField("t") else attribute.tensors)
            graphs += [attribute.g] if attribute.HasField("g") else attribute.graphs


def _is_floating(tensor: TensorProto) -> bool:
    return tensor.data_type in (TensorProto.FLOAT, TensorProto.DOUBLE, *_HALF)


def _load_external(model: onnx.ModelProto, path: Path) -> None:
    """Read weights from the files beside it, once it is known how much that is."""
    beside = [each for each in _tensors(model) if external_data_helper.uses_external_data(each)]
    size = 0
    for tensor in beside:
        about = external_data_helper.ExternalDataInfo(tensor)
        whole = (path.parent / about.location).stat().st_size
        size += whole if about.length is None else int(about.length)
    if size > MOST_BYTES:
        raise _too_large(path, size)
    # onnx refuses paths and links that lead out of the folder.
    external_data_helper.load_external_data_for_model(model, str(path.parent))
    numbers = sum(math.prod(each.dims) for each in _tensors(model) if _is_floating(each))
    if 4 * numbers > MOST_BYTES:
        raise _too_large(path, 4 * numbers)


def _require_opset(path: Path, model: onnx.ModelProto) -> None:
    versions = [each.version for each in model.opset_import if each.domain in _OWN]
    if not model.graph.node or not versions:
        raise InputError(f"network={path}: holds no graph; {_EXPORT_AGAIN}")
    if versions[0] < OLDEST_OPSET:
        raise InputError(
            f"network={path}: uses opset {versions[0]}, expected {OLDEST_OPSET} or later; export "
            "it with opset_version=18"
        )


def _require_own_operators(path: Path, model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        received = f"network={path}: its node {node.name or next(iter(node.output), '')}"
        if node.domain not in _OWN:
            raise InputError(
                f"{received} has the operator {node.domain}.{node.op_type}, expected ONNX's own; "
                "export it without optimising it for a runtime"
            )
        if node.op_type.startswith(_RANDOM):
            raise InputError(
                f"{received} draws random numbers ({node.op_type}); expected a network without any "
                "of its own, exported for inference"
            )


def _require_finite(path: Path, arrays: list[tuple[str, np.ndarray]]) -> None:
    for name, array in arrays:
        if array.dtype.kind == "f" and not may_be_meant(array):
            raise InputError(
                f"network={path}: its weight {name} is not finite; export an earlier checkpoint, "
                "or train again with a lower learning rate"
            )


_EXPORT_AGAIN = "expected a file that torch.onnx.export or another exporter wrote"


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"network={path}: cannot be read as an ONNX file ({first_line(error)}); {_EXPORT_AGAIN}"
    )


def _too_large(path: Path, size: int) -> InputError:
    return InputError(
        f"network={path}: takes {size:,} bytes with its weights in float32, expected at most "
        f"{MOST_BYTES:,}, as much as a bundle's graph may have; export a smaller network"
    )


def declared(value: onnx.ValueInfoProto) -> tuple[tuple[int | None, ...], str]:
    """The sizes of an input, None where free, and its dtype."""
    tensor = value.type.tensor_type
    sizes = tuple(size.dim_value or None for size in tensor.shape.dim)
    return sizes, helper.tensor_dtype_to_np_dtype(tensor.elem_type).name


def session_of(model: onnx.ModelProto) -> Any:
    """An onnxruntime session of a model on the CPU; raises what onnxruntime raises."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    content = model.SerializeToString()
    return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
