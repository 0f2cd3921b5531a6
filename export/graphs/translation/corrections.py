"""What tf2onnx converts in a way that onnxruntime does not take, or not as TensorFlow means it."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

from ..graph import add_constant, constants_of, inferred, nodes_of, sizes_of


def correct(model: onnx.ModelProto) -> None:
    """Put right what tf2onnx made."""
    _correct_resizes(model)
    for node in nodes_of(model.graph):
        if node.op_type == "ConvTranspose":
            _without_negative_pads(model.graph, node)
    if padded := [node for node in nodes_of(model.graph) if _says_same(node)]:
        values = inferred(model.graph, data_prop=True)
        for node in padded:
            if node.input[0] in values:
                _write_pads(model.graph, node, sizes_of(values[node.input[0]]))


def _says_same(node: onnx.NodeProto) -> bool:
    return any(each.name == "auto_pad" and each.s.startswith(b"SAME") for each in node.attribute)


def _write_pads(graph: onnx.GraphProto, node: onnx.NodeProto, shape: Sequence[int | None]) -> None:
    """Write the margins of a window as numbers, where tf2onnx did not know the size of the image.

    ⌈size / stride⌉ windows, of which the margin at the end is the greater one. A window over an
    image of a free size stays as it is.
    """
    settings = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    kernel = settings.get("kernel_shape") or constants_of(graph)[node.input[1]].shape[2:]
    if len(shape) != 2 + len(kernel):
        return
    pairs = []
    for axis, size in enumerate(shape[2:]):
        if size is None:
            return
        stride = settings.get("strides", [1] * len(kernel))[axis]
        extent = (kernel[axis] - 1) * settings.get("dilations", [1] * len(kernel))[axis] + 1
        missing = max((-(-size // stride) - 1) * stride + extent - size, 0)
        pairs.append((missing // 2, missing - missing // 2))
    settings |= {"auto_pad": "NOTSET", "pads": [pair[end] for end in (0, 1) for pair in pairs]}
    del node.attribute[:]
    node.attribute.extend(helper.make_attribute(*item) for item in sorted(settings.items()))


def _correct_resizes(model: onnx.ModelProto) -> None:
    """Replace the deprecated mode of all Resizes, and round their scales up."""
    # In order, since the size of one may follow from another's.
    for resize in (node for node in nodes_of(model.graph) if node.op_type == "Resize"):
        # onnxruntime complains on stderr, in every host, of tf2onnx's word for the pixel at
        # floor((x + 0.5) / scale). Half a pixel less and rounded is the same.
        modes = {attribute.name: attribute for attribute in resize.attribute}
        place = modes.get("coordinate_transformation_mode")
        if place is not None and place.s == b"tf_half_pixel_for_nn":
            place.s = b"half_pixel"
            modes["nearest_mode"].s = b"round_prefer_ceil"
        if len(resize.input) == 3:
            _round_up_scales(model.graph, resize)


def _round_up_scales(graph: onnx.GraphProto, resize: onnx.NodeProto) -> None:
    """Make the constant scales of a Resize large enough for the size that they stand for.

    5/12 as a float32 takes 12 pixels to 4.99…, of which ONNX takes the floor.
    """
    values, factors = inferred(graph), constants_of(graph).get(resize.input[2])
    shape = sizes_of(values[resize.input[0]]) if resize.input[0] in values else ()
    if factors is None or factors.shape != (len(shape),):
        return
    sizes = np.array([size or 0 for size in shape]) * factors.astype(np.float64)
    # Little enough to be the float32's own error, which is at most 2⁻²⁴ of it.
    short = (np.ceil(sizes) - sizes > 0) & (np.ceil(sizes) - sizes < sizes * 2.0**-23)
    if short.any():
        raised = np.where(short, np.nextafter(factors, np.float32(np.inf)), factors)
        resize.input[2] = add_constant(graph, f"{resize.name}/scales", raised)


def _without_negative_pads(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """Fill a transposed convolution up to its size by zeros that are part of its weights.

    tf2onnx pads by less than nothing where TensorFlow fills up, as with kernels smaller than the
    stride, and halves it, although TensorFlow fills up at the end alone.
    """
    settings = {
        attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute
    }
    weights, pads = constants_of(graph).get(node.input[1]), settings.get("pads", ())
    if weights is None or min(pads, default=0) >= 0:
        return
    rank = len(pads) // 2
    dilations = settings.get("dilations", [1] * rank)
    ends, added = list(pads), [(0, 0), (0, 0)]
    for axis, dilation in enumerate(dilations):
        missing = max(0, -pads[axis] - pads[axis + rank])
        zeros = -(-missing // dilation)
        added.append((0, zeros))
        if missing:
            ends[axis], ends[axis + rank] = 0, zeros * dilation - missing
    wider = np.pad(weights, added)
    node.input[1] = add_constant(graph, f"{node.name}/weights", wider)
    del node.attribute[:]
    settings |= {"pads": ends, "kernel_shape": wider.shape[2:]}
    node.attribute.extend(helper.make_attribute(*item) for item in sorted(settings.items()))
