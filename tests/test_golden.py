"""The golden bundles are what the exporter writes today."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from golden_bundles import BUNDLES, GOLDEN, make
from onnx import numpy_helper

from diffkiln.runtime import Sampler

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", BUNDLES)
def test_golden_bundles_are_made_again(name: str, tmp_path: Path) -> None:
    again = make(name, tmp_path / name)
    for file in sorted((GOLDEN / name).glob("*.onnx")):
        assert parts(again / file.name) == parts(file)
    images, expected = (
        Sampler(path, device="cpu").sample(4, seed=3) for path in (again, GOLDEN / name)
    )
    # One level of 255: another processor may add in another order.
    assert np.abs(images.astype(float) - expected).max() <= (
        1 if images.dtype == np.uint8 else 1 / 255
    )


def parts(path: Path) -> tuple[list[str], dict[str, bytes]]:
    """The nodes of a graph, those of its loop among them, and its constants."""
    graph = onnx.load(path).graph
    constants = {value.name: numpy_helper.to_array(value).tobytes() for value in graph.initializer}
    return [onnx.printer.to_text(node) for node in graph.node], constants
