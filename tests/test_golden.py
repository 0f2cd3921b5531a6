"""The golden bundles are what the exporter writes today."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from golden_bundles import BUNDLES, GOLDEN, make
from onnx import numpy_helper

from diffkiln.runtime import Sampler
from diffkiln.runtime.engine.conditions import examples

pytestmark = pytest.mark.slow


@pytest.fixture
def again(request: pytest.FixtureRequest, name: str, tmp_path: Path) -> Path:
    """The golden bundle of this name, made again: those with a SavedModel for other tests too."""
    shared = {"full.bundle": "saved_bundle", "classes.bundle": "saved_class_bundle"}
    return request.getfixturevalue(shared[name]) if name in shared else make(name, tmp_path / name)


@pytest.mark.parametrize("name", BUNDLES)
def test_golden_bundles_are_made_again(name: str, again: Path) -> None:
    for file in sorted((GOLDEN / name).glob("*.onnx")):
        assert parts(again / file.name) == parts(file)
    samplers = [Sampler(path, device="cpu") for path in (again, GOLDEN / name)]
    given = examples(samplers[0].bundle, 4)
    images, expected = (each.sample(4, seed=3, conditions=given) for each in samplers)
    # One level of 255: another processor may add in another order.
    assert np.abs(images.astype(float) - expected).max() <= (
        1 if images.dtype == np.uint8 else 1 / 255
    )


def parts(path: Path) -> tuple[list[str], dict[str, bytes]]:
    """The nodes of a graph, those of its loop among them, and its constants."""
    graph = onnx.load(path).graph
    constants = {value.name: numpy_helper.to_array(value).tobytes() for value in graph.initializer}
    return [onnx.printer.to_text(node) for node in graph.node], constants
