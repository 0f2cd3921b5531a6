"""Resizing, mirrored margins and patches of images of a fixed size, in operators of ONNX."""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from .replacing import Rule, Site

_TO_FIRST, _TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
# TensorFlow looks cubic weights up in a table of so many places between two pixels.
_CUBIC_PLACES = 1024


def _resize(site: Site) -> None:
    """An image as rows · image · columns, whose weights are what TensorFlow makes of unit images.

    What ONNX's Resize computes to the last digit is left to tf2onnx.
    """
    image, size, settings = site.image_sizes(), site.constant(1), _settings(site)
    if image is None or size is None or settings is None:
        return
    if _resizes_alike(site.node.type, settings, image[:2], size):
        _in_float32(site)
        return
    source = site.inputs[0] if site.dtype() == np.float32 else site.cast(site.inputs[0], "f4")
    value = site.make("Transpose", source, perm=_TO_FIRST)
    for axis in (0, 1):
        weights = _weights(site.node.type, settings, axis, image[axis], int(size[axis]))
        if not np.array_equal(weights, np.eye(image[axis])):
            pair = (value, weights.T.copy()) if axis else (weights, value)
            value = site.make("MatMul", *pair)
    site.finish("Transpose", value, perm=_TO_LAST)


def _settings(site: Site) -> dict[str, Any] | None:
    """What TensorFlow's operator is told besides images and size; None if only a run shows it."""
    if site.node.type != "ScaleAndTranslate":
        names = ["align_corners"] + ["half_pixel_centers"] * (site.node.type != "ResizeArea")
        return {name: bool(site.attribute(name, 0)) for name in names}
    scale, translation = site.constant(2), site.constant(3)
    if scale is None or translation is None:
        return None
    kernel = site.attribute("kernel_type", b"lanczos3").decode()
    antialias = bool(site.attribute("antialias", 1))
    others = {"kernel_type": kernel, "antialias": antialias}
    return {"scale": scale, "translation": translation, **others}


def _resizes_alike(kind: str, settings: dict[str, Any], image: list[int], size: np.ndarray) -> bool:
    """Whether tf2onnx's Resize makes the same of it."""
    factors = [int(new) / old for new, old in zip(size, image, strict=True)]
    if kind == "ResizeBicubic":
        places = [*factors, *(_CUBIC_PLACES / (2 * factor) for factor in factors)]
        return all(map(float.is_integer, places)) and settings["half_pixel_centers"]
    if kind == "ResizeArea":
        return all(map(float.is_integer, factors)) and not settings["align_corners"]
    return kind == "ResizeBilinear"


def _in_float32(site: Site) -> None:
    """Cast what is resized, as TensorFlow does by itself."""
    if site.dtype() != np.float32:
        site.replace_input(0, site.cast(site.inputs[0], "f4"))


def _weights(
    kind: str, settings: dict[str, Any], axis: int, length: int, target: int
) -> np.ndarray:
    """By new pixel and old: how much of the old one the new one gets, float32 [target, length]."""
    settings = dict(settings)
    if kind == "ScaleAndTranslate":
        settings["scale"] = [settings["scale"][axis], 1.0]
        settings["translation"] = [settings["translation"][axis], 0.0]
    # Each channel is a column of pixels of which one is 1.
    images = np.eye(length, dtype=np.float32)[None, :, None]
    with tf.Graph().as_default(), tf.device("/cpu:0"), tf.compat.v1.Session() as session:
        resize = getattr(tf.raw_ops, kind)
        return session.run(resize(images=images, size=[target, 1], **settings))[0, :, 0]


def _mirror(site: Site) -> None:
    """A margin that begins with the pixels of the edge; one without them is ONNX's "reflect"."""
    shape, margins = site.shape(), site.constant(1)
    if site.attribute("mode") != b"SYMMETRIC" or shape is None or margins is None:
        return
    sizes = {axis: shape[axis] for axis, pair in enumerate(margins) if pair.any()}
    if margins.max(initial=0) <= 1:
        # The pixels of the edge alone.
        site.finish("Pad", site.inputs[0], margins.T.ravel().astype(np.int64), mode="edge")
    elif all(sizes.values()):
        value = site.inputs[0]
        for axis, size in sizes.items():
            places = np.pad(np.arange(size or 0), margins[axis], "symmetric")
            value = site.make("Gather", value, places, axis=axis)
        site.finish("Identity", value)


def _patches(site: Site) -> None:
    """Patches [N, rows, columns, height · width · channels], gathered by rows and by columns."""
    sizes = site.image_sizes()
    if sizes is None:
        return
    *image, channels = sizes
    named = [site.attribute(name)[1:3] for name in ("ksizes", "strides", "rates")]
    axes = [
        _patch_places(length, *numbers, same=site.attribute("padding") == b"SAME")
        for length, *numbers in zip(image, *named, strict=True)
    ]
    (rows, above, below), (columns, left, right) = axes
    value = site.inputs[0]
    if above or below or left or right:
        pads = np.array([0, above, left, 0, 0, below, right, 0])
        value = site.make("Pad", value, pads, np.zeros((), site.dtype()))
    value = site.make("Gather", value, rows, axis=1)
    value = site.make("Gather", value, columns, axis=3)
    value = site.make("Transpose", value, perm=[0, 1, 3, 2, 4, 5])
    target = [-1, len(rows), len(columns), rows.shape[1] * columns.shape[1] * channels]
    site.finish("Reshape", value, np.array(target))


def _patch_places(
    length: int, size: int, stride: int, rate: int, *, same: bool
) -> tuple[np.ndarray, int, int]:
    """The places of each patch's pixels along an axis with its margins, and these margins."""
    extent = (size - 1) * rate + 1
    count = math.ceil(length / stride) if same else (length - extent) // stride + 1
    margin = max((count - 1) * stride + extent - length, 0) if same else 0
    places = np.arange(count)[:, None] * stride + np.arange(size) * rate
    return places, margin // 2, margin - margin // 2


def _transposed_convolution(site: Site) -> None:
    """State the size that a transposed convolution makes, where it is computed but known."""
    source, shape = site.node.inputs[0], site.output_shape()
    parts = source.inputs[1:] if source.type == "Pack" else [source]
    if all(part.is_const() for part in parts) or shape is None or None in shape[1:]:
        return
    site.replace_input(0, np.array([shape[0] or -1, *shape[1:]], np.int32))


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("ResizeArea", "ResizeBicubic", "ResizeBilinear", "ScaleAndTranslate"), _resize
    ),
    **dict.fromkeys(("Conv2DBackpropInput", "Conv3DBackpropInputV2"), _transposed_convolution),
    "MirrorPad": _mirror,
    "ExtractImagePatches": _patches,
}
