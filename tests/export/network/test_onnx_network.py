"""Networks of ONNX files: what they are taken for, what is made of them, and what is refused."""

import contextlib
import filecmp
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from small_models import run_onnx, small_exporter
from small_onnx import onnx_network, saved_network

from diffkiln.export import Learning, export_bundle
from diffkiln.export.network.onnx_file import MOST_BYTES, OnnxFile, read_onnx
from diffkiln.export.network.onnx_fitting import fitted_onnx
from diffkiln.export.network.onnx_network import OnnxNetwork
from diffkiln.export.verify import verify_bundle
from diffkiln.runtime import Sampler
from diffkiln.trainer.errors import InputError

SETTINGS: Any = {
    "pixel_mean": 0.5,
    "pixel_std": 0.25,
    "prediction": "velocity",
    "schedule": "ddpm_linear",
    "conditioning": "timestep",
    "first_timestep": 0,
    "graphs": ("sampler", "noise"),
}
NOISY = np.random.default_rng(5).normal(size=(2, 6, 5, 3)).astype(np.float32)
STEPS = np.array([3, 700], np.float32)
FLOAT, FLOAT64 = TensorProto.FLOAT, TensorProto.DOUBLE


def network(path: Path, classes: int = 0, **settings: Any) -> OnnxNetwork:
    file = read_onnx(saved_network(path / "unet.onnx", **settings))
    return fitted_onnx(file, classes=classes, whole_condition=True)


def run(model: onnx.ModelProto, **tensors: np.ndarray) -> np.ndarray:
    content, providers = model.SerializeToString(), ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(content, providers=providers)
    return np.asarray(session.run(None, tensors)[0])


FORMS: dict[str, dict[str, Any]] = {
    "free": {},
    "batch of one": {"batch": 1, "timestep": (1,)},
    "scalar timestep": {"timestep": ()},
    "scalar and one": {"batch": 1, "timestep": ()},
    "one timestep": {"timestep": (1,)},
    "floats": {"timestep_type": FLOAT},
    "doubles": {"timestep_type": FLOAT64},
    "channels last": {"channels_first": False},
    "learned variance": {"out_channels": 6},
    "half": {"half": True},
    "opset 13": {"opset": 13},
    "opset 21": {"opset": 21},
}


@pytest.mark.parametrize("form", FORMS)
def test_the_graph_is_the_file_image_by_image(tmp_path: Path, form: str) -> None:
    own = network(tmp_path, **FORMS[form])
    received = run(own.graph, noisy=NOISY, condition=STEPS)
    value = next(each for each in own.file.model.graph.input if each.name == "timestep")
    scalar = not value.type.tensor_type.shape.dim
    dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    for image, step, prediction in zip(NOISY, STEPS, received, strict=True):
        sample = (image.transpose(2, 0, 1) if own.channels_first else image)[None]
        sample = sample.astype(np.float16 if form == "half" else np.float32)
        level = np.array(step if scalar else [step], dtype)
        out = run(own.file.model, sample=sample, timestep=level)[0].astype(np.float32)
        out = out.transpose(1, 2, 0) if own.channels_first else out
        # Numbers of 16 bits have three digits.
        tolerance = 5e-3 if form == "half" else 1e-5
        np.testing.assert_allclose(prediction, out[..., :3], atol=tolerance)
    np.testing.assert_allclose(own.predict(NOISY, STEPS), received, atol=1e-5)


def test_labels_are_known_by_their_name(tmp_path: Path) -> None:
    own, labels = network(tmp_path, classes=4, rows=5), np.array([2, -1])
    assert own.roles == ("noisy", "condition", "labels")
    received = run(own.graph, noisy=NOISY, condition=STEPS, labels=labels)
    np.testing.assert_allclose(own.predict(NOISY, STEPS, labels), received, atol=1e-5)


@pytest.mark.parametrize(("height", "size"), [("6", None), ("H", (6, 5))])
def test_the_condition_may_be_a_map(height: str, size: tuple[int, int] | None) -> None:
    sizes = f"N, {{}}, {height}, 5"
    text = f"""<ir_version: 8, opset_import: ["": 18]>
        net (float[{sizes.format(1)}] t, float[{sizes.format(3)}] x) => (float[N, 3, H, 5] y)
        {{ y = Mul(x, t) }}"""
    file = OnnxFile(Path("map.onnx"), onnx.parser.parse_model(text))
    graph = fitted_onnx(file, image_size=size).graph
    expected = NOISY * STEPS[:, None, None, None]
    np.testing.assert_array_equal(run(graph, noisy=NOISY, condition=STEPS), expected)


def test_a_keras_network_may_come_as_onnx() -> None:
    model = small_exporter().network
    own = fitted_onnx(OnnxFile(Path("keras.onnx"), model))
    noisy = np.random.default_rng(5).normal(size=(2, *own.shape)).astype(np.float32)
    (expected,) = run_onnx(model, noisy=noisy, condition=STEPS / 1000)
    received = run(own.graph, noisy=noisy, condition=STEPS / 1000)
    np.testing.assert_allclose(received, expected, atol=1e-5)


def test_weights_may_lie_beside_the_file(tmp_path: Path) -> None:
    model, path = onnx_network(), tmp_path / "unet.onnx"
    one_file = {"location": "unet.data", "size_threshold": 0}
    onnx.save(model, path, save_as_external_data=True, **one_file)
    assert read_onnx(path).model.graph.initializer[0].raw_data
    (tmp_path / "unet.data").unlink()
    with pytest.raises(InputError, match=r"weights cannot be read .* beside it"):
        read_onnx(path)


def test_a_bundle_of_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "diffkiln.export")
    file, settings = saved_network(tmp_path / "unet.onnx", batch=1, timestep=()), SETTINGS
    certificate = export_bundle(str(file), tmp_path / "b", **settings)
    assert "will have no SavedModel" in caplog.text
    assert certificate.onnx_to_saved_model is None
    assert Sampler(tmp_path / "b").sample([0, 7], steps=3).shape == (2, 6, 5, 3)
    export_bundle(file, tmp_path / "again", **settings)
    match = filecmp.cmpfiles(tmp_path / "b", tmp_path / "again", ["sampler.onnx", "noise.onnx"])
    assert match[0] == ["sampler.onnx", "noise.onnx"]
    assert verify_bundle(tmp_path / "b", file).to_reference.keys() == {"sampler.onnx"}
    with pytest.raises(InputError, match=r"give the .keras or .onnx file that it was made"):
        verify_bundle(tmp_path / "b")
    other = saved_network(tmp_path / "other.onnx", steps=1000)
    with pytest.raises(InputError, match=r"^network=.*other\.onnx: is not what .*b was made from"):
        verify_bundle(tmp_path / "b", other)


def test_guidance_of_a_file_with_classes(tmp_path: Path) -> None:
    file = saved_network(tmp_path / "unet.onnx", rows=4, timestep=(1,))
    export_bundle(file, tmp_path / "b", **SETTINGS, class_names=list("abc"), saved_model=False)
    assert verify_bundle(tmp_path / "b", file).to_reference["sampler.onnx"].largest <= 1 / 255


@pytest.mark.parametrize(
    ("network", "settings", "words"),
    [
        ({"steps": 999}, {}, r"cannot take the timestep 999 \(.*out of data bounds"),
        ({"rows": 3}, {"class_names": list("abc")}, r"treats the label -1 \(no class\) as class 2"),
        ({"rows": 3}, {}, "3: class_labels int64.*give class_names if it takes labels"),
        ({}, {"conditioning": "time", "first_timestep": 1}, "only timesteps are whole numbers"),
        ({"batch": 2, "timestep": (2,)}, {}, "is for a batch of 2; export it with the batch as"),
        ({"out_channels": 4}, {}, r"has outputs \[N, 4, 6, 5\], expected .*\[N, 3, 6, 5\]"),
        ({"opset": 10}, {}, "uses opset 10, expected 11 or later"),
        ({}, {"learning": Learning()}, "only Keras networks can have learned tables"),
    ],
)
def test_networks_that_do_not_fit_are_refused(
    tmp_path: Path, network: dict[str, Any], settings: dict[str, Any], words: str
) -> None:
    file = saved_network(tmp_path / "unet.onnx", **network)
    with pytest.raises(InputError, match=words) as refused:
        export_bundle(file, tmp_path / "b", **{**SETTINGS, **settings})
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "b").exists()


BRANCHES = [
    helper.make_graph(
        [helper.make_node(kind, ["changed"], [kind])],
        kind,
        [],
        [helper.make_tensor_value_info(kind, FLOAT, None)],
    )
    for kind in ("Relu", "Neg")
]
NODES = {
    "the operator com.microsoft.Gelu": [
        helper.make_node("Gelu", ["changed"], ["hidden"], "/mid/Gelu", domain="com.microsoft")
    ],
    "layer mid has the operator If, which the runtime does not take": [
        helper.make_node("ReduceMax", ["changed"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["dark"], to=TensorProto.BOOL),
        helper.make_node(
            "If", ["dark"], ["hidden"], "/mid/If", then_branch=BRANCHES[0], else_branch=BRANCHES[1]
        ),
    ],
    "its node noise draws random numbers": [
        helper.make_node("RandomNormalLike", ["changed"], ["noise"]),
        helper.make_node("Add", ["changed", "noise"], ["hidden"], "/mid/Add"),
    ],
    "changes by .* with the other images": [
        helper.make_node("ReduceMean", ["changed"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["changed", "mean"], ["hidden"], "/mid/Sub"),
    ],
    "is not finite": [helper.make_node("Log", ["changed"], ["hidden"], "/mid/Log")],
}


@pytest.mark.parametrize("words", NODES)
def test_nodes_that_cannot_be_baked_are_named(tmp_path: Path, words: str) -> None:
    file = saved_network(tmp_path / "unet.onnx", extra=NODES[words])
    with pytest.raises(InputError, match=words):
        export_bundle(file, tmp_path / "b", **SETTINGS)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    content, path = onnx_network().SerializeToString(), tmp_path / "unet.onnx"
    cases = [content[:cut] for cut in range(0, len(content), 97)]
    cases += [content[:at] + b"\xff" + content[at + 1 :] for at in range(0, 900, 31)]
    for case in [b"no network", *cases]:
        path.write_bytes(case)
        with contextlib.suppress(InputError):  # and nothing else
            fitted_onnx(read_onnx(path), whole_condition=True)


def test_an_enormous_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "unet.onnx"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(InputError, match=r"takes 1,073,741,825 bytes .* expected at most"):
        read_onnx(path)
    with pytest.raises(InputError, match="no such file"):
        read_onnx(tmp_path)


def test_weights_that_are_not_finite_are_named(tmp_path: Path) -> None:
    model = onnx_network()
    model.graph.initializer[0].raw_data = b"\xff" * len(model.graph.initializer[0].raw_data)
    onnx.save(model, tmp_path / "unet.onnx")
    with pytest.raises(InputError, match="its weight first is not finite"):
        read_onnx(tmp_path / "unet.onnx")
