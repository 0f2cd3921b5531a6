"""The machine's ceiling: the fastest thing that onnxruntime does here, a large matrix product.

A network cannot use more of the machine than its own runtime's product of two float32 matrices, on
the same number of threads.
"""

from collections.abc import Callable
from typing import Any

# Large enough for the cost of the call to vanish, small enough to take a fraction of a second.
SIZES = {"cpu": 1536, "openvino": 1536, "cuda": 8192}

PRODUCT_MULTIPLY_ADDS = {device: size**3 for device, size in SIZES.items()}

_FLOAT, _OPSET, _IR_VERSION = 1, 18, 8


def matrix_product(device: str, threads: int | None) -> Callable[[], object]:
    """Make a function that multiplies two matrices of SIZES[device] squared, on that device.

    For OpenVINO it is onnxruntime's product, so that shares of both can be compared.
    """
    import numpy as np
    import onnxruntime

    from .session import open_session, session_options

    size = SIZES[device]
    device = "cpu" if device == "openvino" else device
    session = open_session(product_graph(size), session_options(threads), device)
    matrix = np.random.default_rng(0).random((size, size), np.float32)
    # Bound to the device, so that no copy is timed.
    value = onnxruntime.OrtValue.ortvalue_from_numpy(matrix, device, 0)
    binding: Any = session.io_binding()
    for name in "ab":
        binding.bind_ortvalue_input(name, value)
    binding.bind_output("c", device, 0)

    def multiply(_: onnxruntime.OrtValue = value) -> None:
        # On the CPU the binding uses the memory of the value, which some versions do not keep.
        session.run_with_iobinding(binding)

    return multiply


def product_graph(size: int) -> bytes:
    """Return an ONNX model of c = a · b, float32 [size, size] each.

    Written field by field, since onnx itself is not among what the runtime needs; the numbers are
    those of onnx.proto.
    """
    node = b"".join([_text(1, "a"), _text(1, "b"), _text(2, "c"), _text(4, "MatMul")])
    graph = b"".join(
        [
            _message(1, node),
            _text(2, "product"),
            _message(11, _matrix("a", size)),
            _message(11, _matrix("b", size)),
            _message(12, _matrix("c", size)),
        ]
    )
    opset = _text(1, "") + _number(2, _OPSET)
    return _number(1, _IR_VERSION) + _message(7, graph) + _message(8, opset)


def _matrix(name: str, size: int) -> bytes:
    shape = 2 * _message(1, _number(1, size))
    tensor = _number(1, _FLOAT) + _message(2, shape)
    return _text(1, name) + _message(2, _message(1, tensor))


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode())


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
