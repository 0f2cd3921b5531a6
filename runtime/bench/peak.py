"""The machine's ceiling: a large matrix product, the fastest thing that onnxruntime does here.

A network cannot use more of the machine than onnxruntime's own product of two float32 matrices, on
the same number of threads.
"""

from collections.abc import Callable
from typing import Any

# Large enough that the call itself costs nothing, small enough to take a fraction of a second.
SIZES = {"cpu": 1536, "openvino": 1536, "cuda": 8192}

PRODUCT_MULTIPLY_ADDS = {device: size**3 for device, size in SIZES.items()}

_FLOAT, _OPSET, _IR_VERSION = 1, 18, 8


def matrix_product(device: str, threads: int | None) -> Callable[[], object]:
    """Return a function that multiplies two matrices of SIZES[device] squared on that device.

    For OpenVINO the CPU's product serves, so that shares of both can be compared.
    """
    import numpy as np

    from ..engine.session import onnxruntime, open_session, session_options

    size = SIZES[device]
    device = "cpu" if device == "openvino" else device
    session = open_session(product_graph(), session_options(threads), device)
    matrix = np.random.default_rng(0).random((size, size), np.float32)
    # Bound to the device, so that no copy is timed.
    value = onnxruntime.OrtValue.ortvalue_from_numpy(matrix, device, 0)
    binding: Any = session.io_binding()
    for name in "ab":
        binding.bind_ortvalue_input(name, value)
    binding.bind_output("c", device, 0)

    def multiply(_: onnxruntime.OrtValue = value) -> None:
        # On the CPU the binding uses the value's memory, and some versions do not keep the value.
        session.run_with_iobinding(binding)

    return multiply


def product_graph() -> bytes:
    """Return an ONNX model of c = a · b, float32 [N, N] each."""
    # Encoded with the field numbers of onnx.proto, because the runtime does not require onnx.
    node = _field(1, b"a") + _field(1, b"b") + _field(2, b"c") + _field(4, b"MatMul")
    inputs = _field(11, _matrix(b"a")) + _field(11, _matrix(b"b"))
    graph = _field(1, node) + _field(2, b"product") + inputs + _field(12, _matrix(b"c"))
    opset = _field(1, b"") + _number(2, _OPSET)
    return _number(1, _IR_VERSION) + _field(7, graph) + _field(8, opset)


def _matrix(name: bytes) -> bytes:
    shape = 2 * _field(1, _field(2, b"N"))
    tensor = _number(1, _FLOAT) + _field(2, shape)
    return _field(1, name) + _field(2, _field(1, tensor))


# Numbers and lengths below 128 take one byte.
def _field(field: int, content: bytes) -> bytes:
    return bytes([field << 3 | 2, len(content)]) + content


def _number(field: int, number: int) -> bytes:
    return bytes([field << 3, number])
