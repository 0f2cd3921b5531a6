"""Images stay in onnxruntime's blocks between convolutions, and no number changes for it."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from drawn_graphs import Graph, drawn_model, run_unoptimised
from hypothesis import given, settings
from hypothesis import strategies as st
from small_graphs import exporter_of
from small_models import with_random_weights

from diffkiln.export.graphs.rewriting.blocked import blocked
from diffkiln.trainer.config import NetworkConfig
from diffkiln.trainer.network.unet import build_unet

CPU = ["CPUExecutionProvider"]


def image_of(graph: Graph) -> str:
    images = [name for name, shape in graph.shapes.items() if len(shape) == 4]
    return graph.draw(st.sampled_from(images[-3:]))


def numbers(graph: Graph, values: Any, dtype: type = np.float32) -> str:
    return graph.constant(np.array(values, dtype))


def weights(graph: Graph, *shape: int) -> str:
    """Such that a convolution leaves numbers about as large as they were."""
    generator = np.random.default_rng(len(graph.constants))
    return numbers(graph, generator.standard_normal(shape) / math.sqrt(math.prod(shape[1:])))


def convolve(graph: Graph) -> None:
    image, width = image_of(graph), graph.draw(st.sampled_from([1, 3, 16, 20, 32]))
    _, channels, *size = graph.shapes[image]
    inputs = [image, weights(graph, width, channels, 3, 3)]
    graph.add("Conv", inputs, (1, width, *size), kernel_shape=[3, 3], pads=[1] * 4)


def embed(graph: Graph) -> None:
    """Scales and shifts from convolutions of one pixel, some with a bias, some of a part of it."""
    image = image_of(graph)
    _, channels, *size = graph.shapes[image]
    pixel = graph.add("GlobalAveragePool", [image], (1, channels, 1, 1))
    for operator in graph.draw(st.lists(st.sampled_from(["Mul", "Add"]), min_size=1, max_size=3)):
        groups = graph.draw(st.sampled_from([1, channels]))
        inputs = [pixel, weights(graph, channels, channels // groups, 1, 1)]
        inputs += [weights(graph, channels)] if graph.draw(st.booleans()) else []
        factor = graph.add("Conv", inputs, (1, channels, 1, 1), kernel_shape=[1, 1], group=groups)
        image = graph.add(operator, [image, factor], (1, channels, *size))


def normalise(graph: Graph) -> None:
    """x·f(mean of x²), as networks write it, or nearly so."""
    image = image_of(graph)
    shape = graph.shapes[image]
    axis = graph.draw(st.sampled_from([1, 1, 1, 2]))
    reduced = tuple(1 if i == axis else n for i, n in enumerate(shape))
    squared = graph.draw(st.sampled_from([[image, image], [image, numbers(graph, 2)]]))
    square = graph.add("Pow" if squared[1] != image else "Mul", squared, shape)
    axes = numbers(graph, [axis], np.int64)
    value = graph.add("ReduceMean", [square, axes], reduced, keepdims=1)
    for operator in graph.draw(st.permutations(["Add", "Max", "Mul"])):
        value = graph.add(operator, [value, numbers(graph, [[[0.1]]])], reduced)
    if graph.draw(st.booleans()):
        root = graph.add("Sqrt", [value], reduced)
        value = graph.add("Reciprocal", [root], reduced)
    else:
        value = graph.add("Pow", [value, numbers(graph, -0.5)], reduced)
    factors = [image, value] if graph.draw(st.booleans()) else [value, image]
    graph.add("Mul", factors, shape)
    if graph.draw(st.booleans()):
        graph.add("Add", [value, value], reduced)


def reshape(graph: Graph) -> None:
    """To another shape and back, with the batch apart or not."""
    image = image_of(graph)
    shape = graph.shapes[image]
    target = graph.draw(
        st.sampled_from([[-1, shape[3], shape[2], shape[1]], [0, -1, 1], [-1, shape[1]], [-1]])
    )
    flat = graph.add("Reshape", [image, numbers(graph, target, np.int64)], (0,))
    back = numbers(graph, [-1, *shape[1:]], np.int64)
    graph.add("Reshape", [flat, back], shape)


def cut(graph: Graph) -> None:
    """All of an image, or all but its first row."""
    image = image_of(graph)
    shape = graph.shapes[image]
    first = graph.draw(st.sampled_from([0, 1])) if shape[2] > 1 else 0
    bounds = [[0, 0, first, 0], [10**9] * 4, [0, 1, 2, 3], [1] * 4]
    inputs = [image, *(numbers(graph, values, np.int64) for values in bounds)]
    graph.add("Slice", inputs, (1, shape[1], shape[2] - first, shape[3]))


STEPS = (convolve, embed, normalise, normalise, reshape, cut)


@settings(max_examples=200, derandomize=True)
@given(st.data(), st.integers(2, 8))
def test_the_numbers_stay_the_same(data: st.DataObject, length: int) -> None:
    graph = Graph(data.draw, {"noisy": (1, 16, 4, 4)})
    for _ in range(length):
        data.draw(st.sampled_from(STEPS))(graph)
    images = [name for name, shape in graph.shapes.items() if len(shape) == 4 and name != "noisy"]
    outputs = data.draw(st.sets(st.sampled_from(images), min_size=1))
    model = drawn_model(graph, "noisy", sorted(outputs))
    other = blocked(model)
    for batch in (1, 3):
        noisy = np.random.default_rng(0).standard_normal((batch, 16, 4, 4)).astype(np.float32)
        expected, results = run_unoptimised(model, noisy=noisy), run_unoptimised(other, noisy=noisy)
        for one, another in zip(expected, results, strict=True):
            # Sums in another order, relative to numbers of any size.
            np.testing.assert_allclose(another, one, atol=1e-5 * max(np.abs(one).max(), 1.0))


def optimised_step(sampler: onnx.ModelProto, folder: Path) -> Counter[str]:
    """How often onnxruntime runs each operator in the body of a sampler's Loop."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(sampler.SerializeToString(), options, providers=CPU)
    graph = onnx.load(folder / "optimised.onnx").graph
    (loop,) = [node for node in graph.node if node.op_type == "Loop"]
    body = next(attribute.g for attribute in loop.attribute if attribute.name == "body")
    if not any("nchwc" in node.domain for node in body.node):
        pytest.skip("onnxruntime has no blocked convolutions for this processor")
    return Counter(node.op_type for node in body.node)


@pytest.mark.parametrize("classes", [None, 3])
def test_images_are_reordered_for_scales_alone(tmp_path: Path, classes: int | None) -> None:
    shape = NetworkConfig(
        image_size=16, widths=(16, 32), blocks=2, patch_size=2, num_classes=classes
    )
    network = with_random_weights(build_unet(shape))
    exporter = exporter_of(network, num_classes=shape.num_classes)
    counts = optimised_step(exporter.graph("sampler"), tmp_path)
    residual_blocks = 2 * 2 + 1 + 2 * 2
    # After the scale and shift of each block; before the embedding's convolutions; the input.
    assert counts["ReorderInput"] <= residual_blocks + 4
    # The means of two normalisations each have one channel; the embedding has three parts.
    assert counts["ReorderOutput"] <= 2 * residual_blocks + 1 + residual_blocks + 6
    assert not counts["ReduceMean"]
    # Sums of residuals are part of the convolutions, and need no Reshape.
    assert counts["Add"] <= residual_blocks + 12
    assert counts["Reshape"] <= 4
