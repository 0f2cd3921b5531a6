"""Resize as tf2onnx writes it, put right: its word for the nearest pixel, and its scales."""

import numpy as np
import onnx

from .graph import add_constant, constants_of, inferred, nodes_of, sizes_of


def correct_resizes(model: onnx.ModelProto) -> None:
    """Replace the deprecated mode of all Resizes, and round their scales up."""
    for node in nodes_of(model.graph):
        if node.op_type == "Resize":
            _replace_deprecated_mode(node)
    for node in model.graph.node:  # in order, since the size of one may follow from another's
        if node.op_type == "Resize" and len(node.input) == 3:
            _round_up_scales(model.graph, node)


def _replace_deprecated_mode(resize: onnx.NodeProto) -> None:
    """Say in other words to take the pixel at floor((x + 0.5) / scale).

    onnxruntime complains on stderr, in every host, of tf2onnx's word for it. Half a pixel less and
    rounded is the same.
    """
    modes = {attribute.name: attribute for attribute in resize.attribute}
    place = modes.get("coordinate_transformation_mode")
    if place is not None and place.s == b"tf_half_pixel_for_nn":
        place.s = b"half_pixel"
        modes["nearest_mode"].s = b"round_prefer_ceil"


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
