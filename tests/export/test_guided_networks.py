"""Networks that take the guidance themselves: one evaluation of each image, whatever it is."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from keras import layers
from small_models import PIXELS, run_function, run_onnx, small_exporter, with_random_weights
from small_tables import random_tables

from diffkiln.export import export_bundle
from diffkiln.export.baking.process import traced
from diffkiln.export.graphs.conversion import convert
from diffkiln.export.verify import verify_bundle
from diffkiln.runtime import Sampler
from diffkiln.trainer.config import NetworkConfig
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.network.unet import build_unet

pytestmark = pytest.mark.slow

NAMES = ("rose", "lily", "aster")
RANGE = (1.0, 3.5)
SETTINGS: dict[str, Any] = {**PIXELS, "class_names": NAMES, "guidance_range": RANGE}


def network() -> keras.Model:
    shape = NetworkConfig(8, (16, 32), 1, 2, num_classes=len(NAMES), guidance_range=RANGE)
    return with_random_weights(build_unet(shape))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("guided") / "bundle"
    graphs = ("sampler", "from_noise", "step", "denoiser", "noise", "encode", "edit")
    export_bundle(network(), path, graphs=graphs, litert=True, **SETTINGS)
    return path


def test_the_manifest_says_the_range(bundle: Path) -> None:
    manifest = json.loads((bundle / "bundle.json").read_text())
    assert (manifest["format_version"], manifest["model"]["guidance_range"]) == (4, [1.0, 3.5])
    assert manifest["sampler"]["default_guidance"] == 2
    inputs = manifest["graphs"]["sampler"]["inputs"]
    assert [each["name"] for each in inputs] == ["seeds", "steps", "labels", "guidance"]
    assert inputs[-1]["shape"] == []


def test_its_parity_can_be_proved_again(bundle: Path) -> None:
    certificate = verify_bundle(bundle)
    assert all(each.largest <= certificate.tolerance for _, each in certificate.comparisons())


@pytest.mark.parametrize("guidance", [1.0, 2.0, 3.5])
def test_each_image_is_evaluated_once(bundle: Path, guidance: float) -> None:
    model = onnx.load(bundle / "step.onnx")
    (first, *_) = [node for node in model.graph.node if node.op_type == "Conv"]
    model.graph.output.append(onnx.ValueInfoProto(name=first.output[0]))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feeds = {"noisy": np.zeros((3, 8, 8, 3), np.float32), "labels": np.array([0, -1, 2])}
    feeds |= {"step": np.array(0), "steps": np.array(4), "guidance": np.array(guidance, "f4")}
    (features,) = session.run([first.output[0]], feeds)
    assert np.asarray(features).shape[0] == 3


def test_guidance_changes_pictures_and_its_range_is_named(bundle: Path) -> None:
    with Sampler(bundle, device="cpu") as sampler:
        weak, strong = (sampler.sample(2, steps=3, guidance=g) for g in RANGE)
        assert (weak != strong).any()
        unlabelled = sampler.sample(1, steps=3, labels=-1)
        assert (unlabelled == sampler.sample(1, steps=3, labels=-1, guidance=1.0)).all()
        with pytest.raises(ValueError, match=r"guidance=4: expected a number from 1 to 3\.5"):
            sampler.sample(1, guidance=4)


def test_the_graph_refuses_guidance_out_of_range(bundle: Path) -> None:
    feeds = {"seeds": np.array([0]), "steps": np.array(2), "labels": np.array([0])}
    with pytest.raises(Exception, match=r"expects_guidance_from_1_to_3\.5"):
        run_onnx(bundle / "sampler.onnx", **feeds, guidance=np.array(3.6, np.float32))


@pytest.mark.parametrize(
    "settings",
    [
        {"precision": "float16", "graphs": ("sampler", "denoiser"), "image_dtype": "float32"},
        {"unroll_steps": 2, "batch_size": 2, "graphs": ("sampler", "from_noise")},
        {"eta": 0.5, "solver": "ddim", "graphs": ("sampler", "from_noise", "step")},
    ],
)
def test_variants_prove_their_parity(tmp_path: Path, settings: dict) -> None:
    certificate = export_bundle(
        network(), tmp_path / "b", saved_model=False, **SETTINGS, **settings
    )
    assert all(each.largest <= certificate.tolerance for _, each in certificate.comparisons())


def test_tables_change_what_the_network_is_told() -> None:
    tables = random_tables(3, guidance=(1.0, 3.0))
    exporter = small_exporter(network(), tables=tables, solver="dpmpp_2m", **SETTINGS)
    feeds = {"seeds": np.array([1]), "steps": np.array(3), "labels": np.array([2])}
    feeds["guidance"] = np.array(2.5, np.float32)
    (drawn,) = run_onnx(exporter.graph("sampler"), **feeds)
    saved = run_function(exporter.signatures.sampler.function, **feeds)
    assert np.abs(drawn.astype(int) - saved["images"]).max() <= 1


def guided_file(path: Path) -> Path:
    """A network with inputs of the names that are usual in PyTorch, as an ONNX file."""
    noisy, time = keras.Input((6, 6, 1), name="sample"), keras.Input((), name="timestep")
    labels = keras.Input((), name="class_labels", dtype="int64")
    guidance = keras.Input((1,), name="guidance_scale")
    table = layers.Embedding(len(NAMES) + 1, 8)(keras.ops.add(labels, 1))
    told = layers.Dense(8)(guidance) + table
    told += layers.Dense(8)(layers.Reshape((1,))(time))
    x = keras.ops.tanh(layers.Conv2D(8, 3, padding="same")(noisy) + layers.Reshape((1, 1, 8))(told))
    model = keras.Model([noisy, time, guidance, labels], layers.Conv2D(1, 3, padding="same")(x))
    with_random_weights(model)
    specs = [tf.TensorSpec((None, *x.shape[1:]), x.dtype, x.name) for x in model.inputs]
    onnx.save(convert(traced(lambda *inputs: {"out": model(inputs)}, specs)), path)
    return path


def test_an_onnx_file_of_such_a_network(tmp_path: Path) -> None:
    file = guided_file(tmp_path / "network.onnx")
    settings = {**SETTINGS, "pixel_mean": 0.5, "pixel_std": 0.25}
    certificate = export_bundle(file, tmp_path / "b", graphs=("sampler", "step"), **settings)
    assert all(each.largest <= certificate.tolerance for _, each in certificate.comparisons())
    assert verify_bundle(tmp_path / "b", file).to_reference


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"guidance_range": (2.0, 4.0)}, "guidance_range=2.0,4.0: expected the least guidance"),
        ({"guidance_range": (1.0,)}, "guidance_range=1.0: expected the least guidance"),
        ({"guidance_range": (0.0, 101.0)}, "guidance_range=0.0,101.0: expected the least"),
        ({"guidance_range": ("1", "4")}, "guidance_range=1,4: expected the least guidance"),
        ({"class_names": ()}, "guidance_range=1,3.5: the model knows no classes"),
        ({"default_guidance": 5.0}, "default_guidance=5: expected a number from 1 to 3.5"),
        ({"guidance_range": None}, "give guidance_range, such as 1,4, if it takes the guidance"),
    ],
)
def test_ranges_that_cannot_be(tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        export_bundle(network(), tmp_path / "b", **{**SETTINGS, **settings})


def test_a_network_without_such_an_input(tmp_path: Path) -> None:
    shape = NetworkConfig(8, (16, 32), 1, 2, num_classes=len(NAMES))
    with pytest.raises(InputError, match=r"labels int\[N\] .*, guidance \[N\]"):
        export_bundle(build_unet(shape), tmp_path / "b", **SETTINGS)


def test_guidance_that_the_network_cannot_take(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def told_by(function: Any) -> keras.Model:
        noisy, time, guidance = keras.Input((4, 4, 1)), keras.Input((1,)), keras.Input((1,))
        labels = keras.Input((1,), dtype="int32")
        table = layers.Embedding(len(NAMES) + 1, 8)(keras.ops.add(labels, 1))
        told = layers.Dense(8)(function(guidance)) + layers.Dense(8)(time)
        x = layers.Conv2D(8, 3, padding="same")(noisy) + layers.Reshape((1, 1, 8))(table)
        x = layers.Conv2D(1, 3, padding="same")(x + layers.Reshape((1, 1, 8))(told))
        return with_random_weights(keras.Model([noisy, time, labels, guidance], x))

    settings = {**SETTINGS, "pixel_mean": 0.5, "pixel_std": 0.25, "guidance_range": (0.0, 3.0)}
    settings["inputs"] = ("noisy", "condition", "labels", "guidance")
    with pytest.raises(InputError, match=r"guidance_range=0,3: .* not finite at guidance 0"):
        export_bundle(told_by(keras.ops.log), tmp_path / "b", **settings)
    settings |= {"graphs": ("sampler",), "saved_model": False}
    export_bundle(told_by(keras.ops.zeros_like), tmp_path / "b", **settings)
    assert "network: guidance changes nothing in its prediction" in caplog.messages
