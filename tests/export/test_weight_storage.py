"""Weights that files hold as float16: half the bytes, at the same cost."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from small_models import PIXELS, small_bundle, small_network
from small_onnx import onnx_network

from diffkiln.export import export_bundle
from diffkiln.export.graphs.graph import graphs_of
from diffkiln.export.verify import verify_bundle
from diffkiln.runtime import Sampler
from diffkiln.trainer.errors import InputError

pytestmark = pytest.mark.slow

HALF: dict[str, Any] = {"weight_storage": "float16"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("whole") / "bundle", graphs=("sampler", "step"))


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = {"graphs": ("sampler", "step", "noise"), "saved_model": True, "litert": True}
    return small_bundle(tmp_path_factory.mktemp("half") / "bundle", **HALF, **settings)


def halves(model: onnx.ModelProto) -> int:
    kinds = (x.data_type for graph in graphs_of(model.graph) for x in graph.initializer)
    return sum(kind == onnx.TensorProto.FLOAT16 for kind in kinds)


def test_files_are_smaller_and_pictures_nearly_the_same(whole: Path, half: Path) -> None:
    for name in ("sampler.onnx", "step.onnx"):
        saved = (whole / name).stat().st_size - (half / name).stat().st_size
        weights = 4 * small_network().count_params()
        assert 0.4 * weights < saved < 0.5 * weights
    pictures = [Sampler(path, device="cpu").sample(4, steps=4) for path in (whole, half)]
    apart = np.abs(pictures[0].astype(int) - pictures[1])
    # Weights are off by 2^-12 of themselves at most.
    assert apart.max() > 0
    assert apart.mean() < 1


def test_runtimes_fold_the_conversion_when_they_load(half: Path, tmp_path: Path) -> None:
    for name in ("sampler.onnx", "step.onnx"):
        assert halves(onnx.load(half / name)) > 5
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / name)
        options.log_severity_level = 3
        onnxruntime.InferenceSession(half / name, options, providers=["CPUExecutionProvider"])
        assert halves(onnx.load(tmp_path / name)) == 0


def test_the_parity_is_proved_with_rounded_weights(half: Path) -> None:
    certificate = verify_bundle(half)
    assert all(each.largest <= certificate.tolerance for _, each in certificate.comparisons())
    assert "sampler.tflite" in certificate.to_reference
    manifest = json.loads((half / "bundle.json").read_text())
    assert manifest["model"]["weight_storage"] == "float16"
    assert manifest["format_version"] == 1


def test_the_callers_network_keeps_its_weights(tmp_path: Path) -> None:
    network = small_network()
    before = network.get_weights()
    small_bundle(tmp_path / "b", **HALF)
    export_bundle(network, tmp_path / "c", saved_model=False, **PIXELS, **HALF, graphs=("sampler",))
    assert all(map(np.array_equal, before, network.get_weights()))


def test_a_network_in_an_onnx_file(tmp_path: Path) -> None:
    file, settings = tmp_path / "network.onnx", {"pixel_mean": 0.5, "pixel_std": 0.25}
    onnx.save(onnx_network(timestep_type=onnx.TensorProto.FLOAT), file)
    export_bundle(file, tmp_path / "b", graphs=("sampler", "step"), **settings, **HALF)
    assert halves(onnx.load(tmp_path / "b" / "step.onnx"))
    assert verify_bundle(tmp_path / "b", file).to_reference


def test_weights_that_float16_cannot_hold(tmp_path: Path) -> None:
    network = small_network()
    largest = next(each for each in network.trainable_variables if "conv_0/kernel" in each.path)
    largest.assign(keras.ops.full(largest.shape, 7e4))
    with pytest.raises(InputError, match="the weight conv_0/kernel reaches 70000, beyond"):
        export_bundle(network, tmp_path / "b", saved_model=False, **PIXELS, **HALF)
    with pytest.raises(InputError, match="with precision=float16 the files hold float16 already"):
        export_bundle(network, tmp_path / "b", precision="float16", **PIXELS, **HALF)
