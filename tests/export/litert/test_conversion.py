"""LiteRT files draw the pictures of the other forms, say what they are, and are made again."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from golden_bundles import network
from small_models import (
    PIXELS,
    conditioned_network,
    run_function,
    run_onnx,
    small_bundle,
    small_network,
)
from small_tables import random_tables
from tensorflow.lite.python.schema_py_generated import Model

from diffkiln.export.baking.signatures import Signatures
from diffkiln.export.litert.conversion import litert_file
from diffkiln.export.litert.interpreter import litert_runner
from diffkiln.export.options import settings_as_objects
from diffkiln.export.preparing import baked_signatures
from diffkiln.trainer.data.synthetic.species import SPECIES
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.maths.schedules import EDMSchedule, FlowSchedule, ddpm_linear
from diffkiln.trainer.maths.tables import Tables

pytestmark = pytest.mark.slow


def test_pictures_are_those_of_onnx(saved_class_bundle: Path) -> None:
    sample = litert_runner(saved_class_bundle / "sampler.tflite")
    drawn, expected = [], []
    cases = itertools.product((0, 12345, 2**32 + 7), (1, 5), (1, 5, 20), (1.0, 2.5))
    for first, batch, steps, guidance in cases:
        feeds = {
            "seeds": np.arange(first, first + batch),
            "steps": np.array(steps),
            "labels": np.arange(batch) - 1,
            "guidance": np.array(guidance, np.float32),
        }
        drawn.append(sample(feeds)["images"].astype(int))
        expected += run_onnx(saved_class_bundle / "sampler.onnx", **feeds)
    assert max(np.abs(x - y).max() for x, y in zip(drawn, expected, strict=True)) <= 1


def test_what_is_out_of_range_is_an_error(saved_class_bundle: Path) -> None:
    sample = litert_runner(saved_class_bundle / "sampler.tflite")
    feeds = {"seeds": np.arange(2), "steps": np.array(3), "labels": np.array([0, 1])}
    feeds["guidance"] = np.array(2, np.float32)
    for wrong in ({"steps": np.array(0)}, {"labels": np.array([0, -7])}):
        with pytest.raises(RuntimeError, match="GATHER"):
            sample({**feeds, **wrong})


def signatures(model: keras.Model, tables: Tables | None = None, **settings: Any) -> Signatures:
    fixed = {**PIXELS, "prediction": "velocity", "image_dtype": "float32"}
    return baked_signatures(model, *settings_as_objects(**{**fixed, **settings})).with_tables(
        tables
    )


KINDS: dict[str, Callable[[], Signatures]] = {
    "fresh noise": lambda: signatures(small_network(), eta=0.7),
    "flow": lambda: signatures(small_network(), schedule=FlowSchedule(), conditioning="timestep"),
    "EDM": lambda: signatures(
        small_network(), schedule=EDMSchedule(), conditioning="c_noise", prediction="edm"
    ),
    "timesteps": lambda: signatures(
        conditioned_network(dtype="int32"),
        schedule=ddpm_linear(),
        conditioning="timestep",
        time_grid="karras",
    ),
    "threshold": lambda: signatures(conditioned_network(), dynamic_threshold=0.9),
    "tables": lambda: signatures(
        network("learned.bundle"),
        random_tables(2, 5, guidance=(1.0, 4.0)),
        class_names=tuple(SPECIES),
        solver="dpmpp_2m",
        time_grid="linspace",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_samplers_of_all_kinds(kind: str, tmp_path: Path) -> None:
    model = KINDS[kind]()
    (tmp_path / "sampler.tflite").write_bytes(litert_file(model, "sampler", {}))
    feeds = {
        "seeds": np.array([3, 2**40]),
        "steps": np.array(5),
        "labels": np.array([2, -1]),
        "guidance": np.array(2, np.float32),
    }
    images = litert_runner(tmp_path / "sampler.tflite")(feeds)["images"]
    expected = run_function(model.sampler.function, **feeds)["images"]
    # What the certificate allows floats.
    np.testing.assert_allclose(images, expected, atol=1e-3)


def test_settings_of_the_onnx_graphs_alone_change_no_litert_file(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"prediction": "velocity", "litert": True}
    small_bundle(tmp_path / "plain", **settings)
    small_bundle(tmp_path / "b", unroll_steps=3, batch_size=2, precision="float16", **settings)
    one, other = (litert_runner(tmp_path / name / "sampler.tflite") for name in ("plain", "b"))
    feeds = {"seeds": np.arange(3), "steps": np.array(4)}
    np.testing.assert_array_equal(one(feeds)["images"], other(feeds)["images"])


class Angles(keras.layers.Layer):
    """Has an operator that ONNX has, and LiteRT lacks."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.acos(tf.clip_by_value(inputs, -1.0, 1.0))


def test_a_layer_that_litert_lacks_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    noisy, time = keras.Input((8, 8, 3)), keras.Input(())
    model = signatures(keras.Model([noisy, time], Angles(name="corner")(noisy)))
    with pytest.raises(InputError, match="its layer corner has the operator Acos, which LiteRT"):
        litert_file(model, "sampler", {})
    assert capfd.readouterr().err == ""


def test_the_same_weights_give_the_same_file() -> None:
    one, other = (litert_file(signatures(small_network()), "sampler", {"a": "b"}) for _ in range(2))
    assert one == other


def test_a_file_says_what_it_is(saved_class_bundle: Path) -> None:
    content = (saved_class_bundle / "sampler.tflite").read_bytes()
    model: Any = Model.GetRootAs(content)
    entries = [model.Metadata(index) for index in range(model.MetadataLength())]
    texts = {
        entry.Name().decode(): model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
        for entry in entries
    }
    manifest = json.loads((saved_class_bundle / "bundle.json").read_text())
    for name in ("image", "model", "sampler", "noise"):
        assert json.loads(texts[f"diffkiln.{name}"]) == manifest[name]


def test_weights_lie_where_processors_want_them(saved_class_bundle: Path) -> None:
    content = (saved_class_bundle / "sampler.tflite").read_bytes()
    model: Any = Model.GetRootAs(content)
    buffers = [model.Buffers(index) for index in range(40)]
    data = [buffer.DataAsNumpy() for buffer in buffers if buffer.DataLength()]
    start = np.frombuffer(content, np.uint8).__array_interface__["data"][0]
    assert {(each.__array_interface__["data"][0] - start) % 16 for each in data} == {0}


def test_what_is_no_litert_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sampler.tflite").write_bytes(b"something else, as long as a header is")
    with pytest.raises(InputError, match=r"sampler\.tflite: is not a LiteRT file of one signature"):
        litert_runner(tmp_path / "sampler.tflite")
