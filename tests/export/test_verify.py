"""Bundles without a SavedModel, verified with the networks that they were made from."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import onnx
import pytest
import tensorflow as tf
from conftest import Command
from enlarging_models import SMALL_PICTURE, enlarging_network
from latent_models import (
    LATENTS,
    SHAPE,
    averaging_encoder,
    convolutional_decoder,
    convolutional_encoder,
    repeating_decoder,
)
from onnx import numpy_helper
from small_models import PIXELS, array_network, conditioned_network, with_random_weights

from diffkiln.export import Learning, export_bundle
from diffkiln.export.baking.process import traced
from diffkiln.export.graphs.conversion import convert
from diffkiln.export.verify import verify_bundle
from diffkiln.trainer.errors import InputError

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {**LATENTS, "prediction": "velocity", "graphs": ("sampler",)}
TIMESTEP = {"conditioning": "timestep", "first_timestep": 0}
CODEC = {"decoder": convolutional_decoder, "encoder": convolutional_encoder}


def onnx_file(path: Path, model: keras.Model) -> Path:
    """The same network in an ONNX file."""
    specs = [tf.TensorSpec((None, *x.shape[1:]), x.dtype, x.name) for x in model.inputs]
    function = traced(
        lambda *inputs: {"out": model(inputs[0] if len(specs) == 1 else inputs)}, specs
    )
    onnx.save(convert(function), path)
    return path


def as_kinds(folder: Path, kinds: str) -> dict[str, Any]:
    """A network, a decoder and an encoder: each a Keras model (k) or an ONNX file (o)."""
    models = {"network": array_network(SHAPE), **{name: make() for name, make in CODEC.items()}}
    return {
        role: model if kind == "k" else onnx_file(folder / f"{role}.onnx", model)
        for kind, (role, model) in zip(kinds, models.items(), strict=True)
    }


@pytest.mark.parametrize("kinds", ["koo", "okk", "kko"])
def test_each_network_may_be_of_either_kind(tmp_path: Path, kinds: str) -> None:
    given = as_kinds(tmp_path, kinds)
    network, *codec = given.values()
    halves: dict[str, Any] = {"weight_storage": "float16", "image_dtype": "float32"}
    export_bundle(bundle=tmp_path / "b", **given, **SETTINGS, **halves)
    verified = verify_bundle(tmp_path / "b", network, codec=tuple(codec)).to_reference
    assert verified.keys() == {"sampler.onnx", "decoder.onnx", "encoder.onnx"}
    with pytest.raises(InputError, match=r"^decoder: missing; give the one that the"):
        verify_bundle(tmp_path / "b", network)
    with pytest.raises(InputError, match=r"^encoder: missing; give the one that the"):
        verify_bundle(tmp_path / "b", network, codec=(codec[0], None))


def test_an_error_names_the_network_that_is_another(tmp_path: Path) -> None:
    given = as_kinds(tmp_path, "kok")
    export_bundle(bundle=tmp_path / "b", **given, **SETTINGS)
    others = {
        "network": with_random_weights(array_network(SHAPE), seed=7),
        "decoder": onnx_file(tmp_path / "other.onnx", repeating_decoder()),
        "encoder": averaging_encoder(),
    }
    named = {"decoder": r"decoder=.*other\.onnx"}
    for role, other in others.items():
        network, *codec = {**given, role: other}.values()
        with pytest.raises(InputError, match=rf"^{named.get(role, role)}: is not what .*b was"):
            verify_bundle(tmp_path / "b", network, codec=tuple(codec))
    network, *codec = others.values()
    with pytest.raises(InputError, match=r"^decoder=.*other\.onnx, encoder: are not what"):
        verify_bundle(tmp_path / "b", network, codec=tuple(codec))


def test_a_decoder_of_other_images_is_refused(tmp_path: Path) -> None:
    network, z = array_network(SHAPE), keras.Input(SHAPE)
    export_bundle(
        network, tmp_path / "b", decoder=repeating_decoder(), **SETTINGS, saved_model=False
    )
    smaller = keras.Model(z, keras.layers.UpSampling2D(2)(z))
    with pytest.raises(InputError, match=r"^decoder: gives images \[8, 8, 3\], .* \[16, 16, 3\]"):
        verify_bundle(tmp_path / "b", network, codec=(smaller, None))
    with pytest.raises(InputError, match=r"^encoder: the bundle has none; leave it out"):
        verify_bundle(tmp_path / "b", network, codec=(repeating_decoder(), averaging_encoder()))


def test_latents_with_their_channels_first(tmp_path: Path) -> None:
    shape = (2, 4, 4)
    file = onnx_file(tmp_path / "network.onnx", array_network(shape))
    z = keras.Input(shape)
    last = keras.layers.Permute((2, 3, 1))(z)
    decoder = with_random_weights(keras.Model(z, keras.layers.Conv2DTranspose(3, 4, 4)(last)))
    export_bundle(file, tmp_path / "b", decoder=decoder, **SETTINGS)
    assert verify_bundle(tmp_path / "b", file, codec=(decoder, None)).to_reference


def test_tables_of_a_keras_network_with_a_decoder_from_onnx(tmp_path: Path) -> None:
    file, network = onnx_file(tmp_path / "d.onnx", convolutional_decoder()), array_network(SHAPE)
    settings = {**SETTINGS, "decoder": file, "learning": Learning(steps=(3,), iterations=20)}
    export_bundle(network, tmp_path / "b", **settings)
    manifest = json.loads((tmp_path / "b" / "bundle.json").read_text())
    assert manifest["sampler"]["tables"]["by_steps"].keys() == {"3"}
    assert verify_bundle(tmp_path / "b", network, codec=(file, None)).steps == (1, 2, 3, 20, 50)
    with pytest.raises(
        InputError, match=r"^network=.*n\.onnx: only Keras networks can have learned"
    ):
        export_bundle(onnx_file(tmp_path / "n.onnx", network), tmp_path / "c", **settings)
    with pytest.raises(
        InputError, match=r"^decoder=.*d\.onnx: only Keras networks can become Lite"
    ):
        export_bundle(network, tmp_path / "c", **settings, litert=True)


def test_a_keras_network_without_latents(tmp_path: Path) -> None:
    """It computes in float32 as it did at export, and goes on in its own precision."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        network = conditioned_network()
    finally:
        keras.config.set_dtype_policy("float32")
    export_bundle(network, tmp_path / "b", **PIXELS, graphs=("sampler",), saved_model=False)
    assert verify_bundle(tmp_path / "b", network).to_reference.keys() == {"sampler.onnx"}
    assert {layer.compute_dtype for layer in network.layers} >= {"float16"}
    with pytest.raises(InputError, match=r"^decoder: the bundle has none; leave it out"):
        verify_bundle(tmp_path / "b", network, codec=(repeating_decoder(), None))
    with pytest.raises(InputError, match=r"^network: is not what .*b was made from, or the bundle"):
        verify_bundle(tmp_path / "b", with_random_weights(conditioned_network(), seed=7))


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (
            lambda: array_network((6, 4, 3), classes=2),
            {"class_names": ("a", "b"), "default_guidance": 2.0},
        ),
        (enlarging_network, {"conditions": SMALL_PICTURE}),
        (lambda: conditioned_network(dtype="int32"), {"schedule": "ddpm_linear", **TIMESTEP}),
    ],
)
def test_what_a_keras_network_takes_is_known(
    tmp_path: Path, make: Callable[[], keras.Model], settings: dict
) -> None:
    network = make()
    own = {**PIXELS, "prediction": "velocity", "graphs": ("sampler", "step"), "saved_model": False}
    export_bundle(network, tmp_path / "b", **own, **settings)
    assert verify_bundle(tmp_path / "b", network).to_reference.keys() == {
        "sampler.onnx",
        "step.onnx",
    }


# Keras saves variables through a signature that NumPy 2 deprecates.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_mixed_files_from_the_command_line(command: Command, tmp_path: Path) -> None:
    array_network(SHAPE).save(tmp_path / "network.keras")
    file = onnx_file(tmp_path / "decoder.onnx", convolutional_decoder())
    flags = [f"--bundle={tmp_path / 'b'}", f"--network={tmp_path / 'network.keras'}"]
    flags.append(f"--decoder={file}")
    settings = [f"--{name}={value}" for name, value in LATENTS.items()]
    result = command("diffkiln-export", *flags, *settings, "--graphs=sampler")
    assert result.returncode == 0, result.stderr
    assert "no SavedModel, because the decoder is an ONNX file" in result.stderr
    result = command("diffkiln-export", "--verify", *flags)
    assert result.returncode == 0, result.stderr
    changed = onnx.load(file)
    for each in changed.graph.initializer:
        if each.data_type == onnx.TensorProto.FLOAT and len(each.dims) == 4:
            each.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(each), each.name))
    onnx.save(changed, file)
    result = command("diffkiln-export", "--verify", *flags)
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1), result.stderr
    assert f"decoder={file}: is not what" in result.stderr
