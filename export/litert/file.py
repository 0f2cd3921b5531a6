"""A LiteRT file as a flatbuffer: its names, what it says of itself, and where its weights lie."""

from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

_IDENTIFIER = b"TFL3"
# Of the bytes of weights: the schema asks for it, and TensorFlow's own Python code forgets it.
_ALIGNMENT = 16


class _Builder(flatbuffers.Builder):
    """Writes vectors of bytes, which weights are, at multiples of `_ALIGNMENT`."""

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802
        if x.dtype == np.uint8:
            self.Prep(_ALIGNMENT, x.nbytes)
        return super().CreateNumpyVector(x)


def with_metadata(model: bytes, entries: Mapping[str, str]) -> bytes:
    """A LiteRT model with these texts, by their names, in its metadata."""
    content: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    content.description = "diffkiln"
    _drop_inner_names(content)
    for name, text in entries.items():
        data = np.frombuffer(text.encode(), np.uint8)
        content.buffers.append(schema.BufferT(data=data))
        content.metadata.append(schema.MetadataT(name=name, buffer=len(content.buffers) - 1))
    builder = _Builder()
    builder.Finish(content.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _drop_inner_names(content: Any) -> None:
    """Leave the names of inputs and outputs alone: Keras numbers layers through a process."""
    main, *inner = content.subgraphs
    public = {*main.inputs, *main.outputs}
    tensors = [tensor for index, tensor in enumerate(main.tensors) if index not in public]
    for tensor in (*tensors, *(tensor for each in inner for tensor in each.tensors)):
        tensor.name = None
