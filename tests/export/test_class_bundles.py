"""Bundles of models that know classes: what their graphs take, and what that costs."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers
from small_models import (
    PIXELS,
    run_onnx,
    run_saved_model,
    small_exporter,
    with_random_weights,
)

from diffkiln.export import export_bundle
from diffkiln.export.verify import verify_bundle
from diffkiln.trainer.config import NetworkConfig
from diffkiln.trainer.data.synthetic.species import SPECIES
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.network.unet import build_unet

pytestmark = pytest.mark.slow

NAMES = ("rose", "lily", "aster, blue")
SEEDS = np.array([3, 2**40, 5], np.int64)
CONDITIONING = [("labels", "int64", ["N"]), ("guidance", "float32", [])]


def network() -> keras.Model:
    shape = NetworkConfig(8, (16, 32), 1, 2, num_classes=len(NAMES))
    return with_random_weights(build_unet(shape))


def feeds(labels: list[int], guidance: float) -> dict[str, np.ndarray]:
    return {
        "seeds": SEEDS,
        "steps": np.array(4),
        "labels": np.array(labels, np.int64),
        "guidance": np.array(guidance, np.float32),
    }


def test_labels_and_guidance_come_last_and_names_stand_in_the_manifest(
    saved_class_bundle: Path,
) -> None:
    manifest = json.loads((saved_class_bundle / "bundle.json").read_text())
    assert manifest["model"]["class_names"] == list(SPECIES)
    assert manifest["sampler"]["default_guidance"] == 20
    for name, graph in manifest["graphs"].items():
        inputs = [(tensor["name"], tensor["dtype"], tensor["shape"]) for tensor in graph["inputs"]]
        assert (inputs[-2:] == CONDITIONING) == (name != "noise")
    model = onnx.load(saved_class_bundle / "sampler.onnx")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["diffkiln.model"])["class_names"] == list(SPECIES)


@pytest.mark.parametrize("name", ["denoiser", "trajectory"])
def test_other_graphs_take_them_last_too(name: str) -> None:
    graph = small_exporter(network(), class_names=NAMES).graph(name).graph
    assert [value.name for value in graph.input][-2:] == ["labels", "guidance"]


def test_each_image_shows_its_own_label(saved_class_bundle: Path) -> None:
    tensors, sampler = feeds([0, 1, -1], 2.5), saved_class_bundle / "sampler.onnx"
    (first,) = run_onnx(sampler, **tensors)
    (other,) = run_onnx(sampler, **feeds([0, 2, -1], 2.5))
    saved = run_saved_model(saved_class_bundle, "serving_default", **tensors)
    assert np.abs(first.astype(int) - saved["images"]).max() <= 1
    np.testing.assert_array_equal(first[[0, 2]], other[[0, 2]])
    assert (first[1] != other[1]).any()


def test_guidance_means_nothing_without_a_label(saved_class_bundle: Path) -> None:
    (none,) = run_onnx(saved_class_bundle / "sampler.onnx", **feeds([-1, -1, -1], 1.0))
    (guided,) = run_onnx(saved_class_bundle / "sampler.onnx", **feeds([-1, -1, -1], 7.0))
    # Batches of 3 and of 6 may be summed in another order, and rounding fall to either side.
    assert np.abs(none.astype(int) - guided).max() <= 1


@pytest.mark.parametrize(("guidance", "images"), [(1.0, 3), (0.0, 6), (2.0, 6)])
def test_guidance_1_evaluates_each_image_once(
    saved_class_bundle: Path, guidance: float, images: int
) -> None:
    model = onnx.load(saved_class_bundle / "step.onnx")
    (first, *_) = [node for node in model.graph.node if node.op_type == "Conv"]
    model.graph.output.append(onnx.ValueInfoProto(name=first.output[0]))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    tensors = {**feeds([0, 1, 2], guidance), "step": np.array(0)}
    del tensors["seeds"]
    tensors["noisy"] = np.zeros((3, 16, 16, 3), np.float32)
    (features,) = session.run([first.output[0]], tensors)
    assert np.asarray(features).shape[0] == images


def test_the_weights_are_there_once() -> None:
    exporter, largest = small_exporter(network(), class_names=NAMES), 4 * network().count_params()
    for name in ("sampler", "step", "encode"):
        assert exporter.graph(name).ByteSize() < 1.1 * largest + 40_000


def test_the_certificate_can_be_made_again(saved_class_bundle: Path) -> None:
    certificate = verify_bundle(saved_class_bundle)
    manifest = json.loads((saved_class_bundle / "bundle.json").read_text())
    assert certificate.steps == (1, 2, 20, 50)
    assert set(certificate.to_reference) == set(manifest["certificate"]["to_reference"])
    assert "sampler.tflite" in certificate.to_reference
    assert certificate.onnx_to_saved_model is not None
    assert certificate.onnx_to_saved_model.largest <= 1 / 255


@pytest.mark.parametrize(
    "settings",
    [
        {"unroll_steps": 2, "batch_size": 2, "graphs": ("sampler", "from_noise")},
        {"precision": "float16", "graphs": ("sampler", "denoiser")},
        {"solver": "dpmpp_2m", "graphs": ("sampler", "step")},
        {"eta": 0.5, "graphs": ("sampler", "from_noise", "step")},
    ],
)
def test_variants_prove_their_parity(tmp_path: Path, settings: dict) -> None:
    settings = {**PIXELS, **settings, "prediction": "velocity", "saved_model": False}
    certificate = export_bundle(network(), tmp_path / "b", class_names=NAMES, **settings)
    assert all(d.largest <= certificate.tolerance for _, d in certificate.comparisons())


def test_any_network_with_a_third_input() -> None:
    noisy, time = keras.Input((4, 4, 1)), keras.Input((1,))
    labels = keras.Input((1,), dtype="int32")
    # -1 becomes row 0.
    table = layers.Embedding(len(NAMES) + 1, 8)(keras.ops.add(labels, 1))
    level = layers.Reshape((1, 1, 1))(time)
    x = layers.Conv2D(8, 3, padding="same")(noisy) + layers.Reshape((1, 1, 8))(table) + level
    own = keras.Model([noisy, time, labels], layers.Conv2D(1, 3, padding="same")(keras.ops.tanh(x)))
    settings: dict[str, Any] = {"pixel_mean": 0.5, "pixel_std": 0.25}
    with pytest.raises(InputError, match="; give class_names if it takes labels"):
        small_exporter(own, **settings)
    exporter = small_exporter(with_random_weights(own), class_names=NAMES, **settings)
    (images,) = run_onnx(exporter.graph("sampler"), **feeds([0, 1, -1], 3.0))
    assert images.shape == (3, 4, 4, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"class_names": ("a", "a")}, "class_names: got 2 names, expected at most 10000 different"),
        ({"class_names": ("a", "b\n")}, "class_names: got 2 names"),
        ({"class_names": ("a", "x" * 101)}, "class_names: got 2 names"),
        ({"default_guidance": 2.0}, "default_guidance=2: the model knows no classes"),
        ({"class_names": NAMES, "default_guidance": -1.0}, "default_guidance=-1: expected a"),
    ],
)
def test_classes_that_cannot_be(tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        export_bundle(network(), tmp_path / "b", **PIXELS, **settings)
    assert not list(tmp_path.iterdir())
