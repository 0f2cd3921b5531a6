"""Bundles of networks that take conditions: what their graphs take, and what it means."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from conditioned_models import CONDITIONS, SIZE, conditioned_bundle, conditioned_network
from keras import layers
from small_models import PIXELS, run_onnx, run_saved_model, small_exporter

from diffkiln.export import Condition, export_bundle
from diffkiln.export.network.trial import try_out
from diffkiln.export.options import GRAPHS, MORE_GRAPHS
from diffkiln.export.verify import verify_bundle
from diffkiln.trainer.errors import InputError

pytestmark = pytest.mark.slow

SEEDS = np.array([3, 2**40, 5], np.int64)
# Rounding may fall to either side of a level where convolutions add up in another order.
LEVEL = 1


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conditions") / "bundle"
    return conditioned_bundle(folder, graphs=(*GRAPHS, *MORE_GRAPHS), saved_model=True)


@pytest.fixture(scope="module")
def class_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return conditioned_bundle(tmp_path_factory.mktemp("conditions") / "bundle", classes=True)


def given(guidance: float = 1.0, **changed: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "seeds": SEEDS,
        "steps": np.array(4),
        "guidance": np.array(guidance, np.float32),
        "small": rng.integers(0, 256, (3, SIZE // 2, SIZE // 2, 3), np.uint8),
        "text": rng.normal(size=(3, 5, 4)).astype(np.float32),
        "age": np.array([0, 9, 4]),
        "pose": rng.normal(size=(3, 6)).astype(np.float32),
        **changed,
    }


def apart(some: np.ndarray, others: np.ndarray) -> int:
    return int(np.abs(some.astype(int) - others).max())


def test_conditions_come_last_in_all_that_evaluates_the_network(bundle: Path) -> None:
    manifest = json.loads((bundle / "bundle.json").read_text())
    assert manifest["format_version"] == 3
    names = [each["name"] for each in manifest["conditions"]]
    assert names == list(CONDITIONS)
    for name, graph in manifest["graphs"].items():
        inputs = [tensor["name"] for tensor in graph["inputs"]]
        assert (inputs[-5:] == ["guidance", *names]) == (name != "noise")
        assert not set(names) & {tensor["name"] for tensor in graph["outputs"]}


def test_the_manifest_and_the_sampler_describe_them(bundle: Path) -> None:
    manifest = json.loads((bundle / "bundle.json").read_text())
    small, text, age, pose = manifest["conditions"]
    assert small == {
        "name": "small",
        "dtype": "uint8",
        "shape": [SIZE // 2, SIZE // 2, 3],
        "description": "The picture to enlarge.",
        "pixel_mean": list(PIXELS["pixel_mean"]),
        "pixel_std": list(PIXELS["pixel_std"]),
    }
    assert (text["dtype"], text["shape"], text["null"]) == ("float32", [5, 4], 0)
    assert (age["dtype"], age["shape"], age["null"]) == ("int64", [], 3)
    assert (age["minimum"], age["maximum"]) == (0, 9)
    assert pose["description"] == "Where the camera is."
    assert manifest["sampler"]["default_guidance"] == 1
    metadata = {x.key: x.value for x in onnx.load(bundle / "sampler.onnx").metadata_props}
    assert json.loads(metadata["diffkiln.conditions"]) == manifest["conditions"]


def test_conditions_go_around_the_loop(bundle: Path) -> None:
    graph = onnx.load(bundle / "sampler.onnx").graph
    (loop,) = (node for node in graph.node if node.op_type == "Loop")
    body = loop.attribute[0].g
    assert len(body.input) == 4  # the step, the loop's condition, the state, the last result
    made = {name for node in body.node for name in node.output}
    inner = {*made, *(value.name for value in (*body.input, *body.initializer))}
    outer = {name for node in body.node for name in node.input} - inner - {""}
    names = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity"}
    assert set(CONDITIONS) <= {names.get(name, name) for name in outer}


@pytest.mark.parametrize("name", CONDITIONS)
def test_each_image_has_its_own_condition(bundle: Path, name: str) -> None:
    tensors = given()
    changed = tensors[name].copy()
    changed[1] = 255 - changed[1] if name == "small" else changed[1] - 4
    (first,) = run_onnx(bundle / "sampler.onnx", **tensors)
    (other,) = run_onnx(bundle / "sampler.onnx", **{**tensors, name: changed})
    assert apart(first[[0, 2]], other[[0, 2]]) <= LEVEL
    assert apart(first[1], other[1]) > LEVEL
    saved = run_saved_model(bundle, "serving_default", **tensors)["images"]
    assert apart(first, saved) <= LEVEL


def test_guidance_0_is_the_null_of_all_that_has_one(bundle: Path) -> None:
    nulls = {
        "text": np.zeros((3, 5, 4), np.float32),
        "age": np.full(3, 3),
        "pose": np.zeros((3, 6), np.float32),
    }
    (without,) = run_onnx(bundle / "sampler.onnx", **given(0.0))
    (null,) = run_onnx(bundle / "sampler.onnx", **given(1.0, **nulls))
    (shown,) = run_onnx(bundle / "sampler.onnx", **given(1.0))
    assert apart(without, null) <= LEVEL < apart(shown, null)


def test_guidance_leads_away_from_no_class_and_null_conditions(class_bundle: Path) -> None:
    labels = {"labels": np.array([0, 1, -1])}
    sampler = class_bundle / "sampler.onnx"
    (one,) = run_onnx(sampler, **given(1.0, **labels))
    (more,) = run_onnx(sampler, **given(4.0, **labels))
    (none,) = run_onnx(sampler, **given(1.0, labels=np.full(3, -1)))
    assert apart(one, more) > LEVEL
    assert apart(one[:2], none[:2]) > LEVEL
    assert apart(one[2], none[2]) <= LEVEL
    manifest = json.loads((class_bundle / "bundle.json").read_text())
    assert manifest["sampler"]["default_guidance"] == 2


def test_a_number_out_of_its_range_ends_the_run(bundle: Path) -> None:
    with pytest.raises(Exception, match="expects_age_from_0_to_9"):
        run_onnx(bundle / "sampler.onnx", **given(age=np.array([0, 10, 0])))
    with pytest.raises(Exception, match="expects_as_many_pose_as_seeds"):
        run_onnx(bundle / "sampler.onnx", **given(pose=np.zeros((2, 6), np.float32)))


def test_a_bundle_with_conditions_verifies_again(bundle: Path) -> None:
    certificate = verify_bundle(bundle)
    assert "saved_model serving_default" in certificate.to_reference


def test_nothing_to_leave_out_means_no_guidance() -> None:
    kept = {name: Condition(null=None) for name in CONDITIONS}
    exporter = small_exporter(conditioned_network(), conditions=kept)
    names = [value.name for value in exporter.graph("sampler").graph.input]
    assert names == ["seeds", "steps", *CONDITIONS]


@pytest.mark.parametrize(
    "settings",
    [
        {"litert": True},
        {"precision": "float16", "solver": "dpmpp_2m"},
        {"unroll_steps": 3, "batch_size": 2, "numbers_as_lists": True},
        {"eta": 1.0, "image_dtype": "float32"},
    ],
)
def test_every_form_takes_them(tmp_path: Path, settings: dict[str, Any]) -> None:
    # Exporting proves parity of all forms, on random conditions and on nulls.
    graphs = ("sampler", "from_noise", "step")
    made = conditioned_bundle(tmp_path / "bundle", classes=True, graphs=graphs, **settings)
    assert json.loads((made / "bundle.json").read_text())["format_version"] == 3


def test_pixels_reach_the_network_as_the_statistics_say() -> None:
    noisy, time = keras.Input((4, 4, 1), name="noisy"), keras.Input((), name="time")
    mask: Any = keras.Input((4, 4, 2), name="cover")
    network = keras.Model([noisy, time, mask], 0 * noisy + mask[..., 1:])
    own = Condition(dtype="uint8", pixel_mean=(0, 0.2), pixel_std=(1, 0.5))
    exporter = small_exporter(network, pixel_mean=0.5, pixel_std=0.5, conditions={"cover": own})
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 2), np.uint8)
    call: Any = exporter.signatures.sampling.denoiser.network
    zeros = np.zeros((2, 4, 4, 1), np.float32)
    seen = np.asarray(call([zeros, np.zeros(2, np.float32), pixels]))
    np.testing.assert_allclose(seen, (pixels[..., 1:] / 255 - 0.2) / 0.5, atol=1e-6)


def test_pictures_of_networks_with_channels_first_are_turned(tmp_path: Path) -> None:
    noisy, time = keras.Input((3, 4, 6), name="noisy"), keras.Input((), name="time")
    small = keras.Input((3, 2, 3), name="small")
    x = layers.UpSampling2D(2, data_format="channels_first")(small) + noisy
    scale = layers.Reshape((1, 1, 1))(time)
    network = keras.Model([noisy, time, small], 0.1 * x * scale)
    export_bundle(
        network,
        tmp_path / "bundle",
        **PIXELS,
        graphs=("sampler",),
        conditions={"small": Condition(dtype="uint8", null=None)},
    )
    manifest = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    assert manifest["conditions"][0]["shape"] == [2, 3, 3]


def renamed(names: list[str]) -> keras.Model:
    """A network with inputs of these names, of which the first two are image and time."""
    noisy, time = keras.Input((4, 4, 3), name=names[0]), keras.Input((), name=names[1])
    more = [keras.Input((2,), name=name) for name in names[2:]]
    x = layers.Conv2D(3, 1)(noisy) + layers.Reshape((1, 1, 1))(time)
    for each in more:
        x = x + layers.Reshape((1, 1, 3))(layers.Dense(3)(each))
    return keras.Model([noisy, time, *more], x)


@pytest.mark.parametrize(
    ("names", "settings", "words"),
    [
        (["noisy", "time", "text"], {}, "conditions={NAME: …} for what else it takes"),
        (["noisy", "time", "text"], {"conditions": {"txt": ""}}, "txt is none of the network's"),
        (["noisy", "time", "mask"], {"conditions": {"mask": ""}}, "'mask' is the name of another"),
        (["noisy", "time", "A b"], {"conditions": {"A b": ""}}, "'A b' is no name"),
        (["noisy", "time", "text"], {"conditions": ["text"]}, "expected a mapping from the names"),
        (["noisy", "time", "text"], {"conditions": {"text": 3}}, "text=3: expected a Condition"),
        (
            ["noisy", "time", "text"],
            {"conditions": {"text": {"dtype": "float64"}}},
            "text: dtype=float64: expected",
        ),
        (
            ["noisy", "time", "text"],
            {"conditions": {"text": {"shape": [3]}}},
            r"float32\[N, 2\], not shape=\[3\]",
        ),
        (
            ["noisy", "time", "text"],
            {"conditions": {"text": {"null": [0, 1, 2]}}},
            r"text: null: .* expected a number, or an array of shape \[2\]",
        ),
        (
            ["noisy", "time", "text"],
            {"conditions": {"text": {"null": float("nan")}}},
            "text: null: nan: expected a number",
        ),
        (
            ["noisy", "time", "text"],
            {"conditions": {"text": {"dtype": "uint8"}}},
            "expected pictures for uint8",
        ),
        (
            ["noisy", "time", "text"],
            {"conditions": {"text": {"maximum": 4}}},
            "maximum=4: is for whole numbers",
        ),
        (
            ["noisy", "time", "text"],
            {"conditions": {"text": {"pixel_mean": 0.5}}},
            "text: pixel_mean: is for pixels",
        ),
        (
            ["noisy", "time", "text"],
            {"conditions": {"text": Condition(null=None)}, "default_guidance": 2},
            "default_guidance=2: the model knows no classes, and no conditions",
        ),
        (
            ["noisy", "time", "text"],
            {"conditions": {"text": ""}, "inputs": ("noisy", "condition")},
            "expected noisy, condition, text in the order",
        ),
        (
            ["a", "b", "c"],
            {"conditions": {"text": ""}},
            "text is none of the network's inputs",
        ),
    ],
)
def test_what_is_wrong_is_refused_in_a_line(
    tmp_path: Path, names: list[str], settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words) as refused:
        export_bundle(renamed(names), tmp_path / "bundle", **{**PIXELS, **settings})
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [{"maximum": 10}, {"maximum": 9, "null": 12}])
def test_numbers_beyond_a_table_of_the_network_are_refused(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    conditions = {**CONDITIONS, "age": Condition(**wrong)}
    with pytest.raises(InputError, match=r"age: the network cannot take (10|12) \("):
        conditioned_bundle(tmp_path / "bundle", conditions=conditions)


def test_a_null_may_lie_outside_the_range_that_programs_give(tmp_path: Path) -> None:
    conditions = {**CONDITIONS, "age": Condition(minimum=1, maximum=9, null=0)}
    made = conditioned_bundle(tmp_path / "bundle", conditions=conditions)
    (without,) = run_onnx(made / "sampler.onnx", **given(0.0, age=np.array([1, 2, 3])))
    (other,) = run_onnx(made / "sampler.onnx", **given(0.0, age=np.array([9, 9, 9])))
    np.testing.assert_array_equal(without, other)


def test_a_condition_that_changes_nothing_is_named(caplog: pytest.LogCaptureFixture) -> None:
    noisy, time = keras.Input((4, 4, 3), name="noisy"), keras.Input((), name="time")
    text = keras.Input((2,), name="text")
    idle = 0.0 * layers.Reshape((1, 1, 1))(layers.Dense(1)(text))
    network = keras.Model([noisy, time, text], noisy + layers.Reshape((1, 1, 1))(time) + idle)
    signatures = small_exporter(network, conditions={"text": ""}).signatures
    try_out(signatures.sampling, signatures.shape, signatures.conditions)
    assert "text changes nothing in its prediction" in caplog.text


def test_inputs_without_names_are_named_by_their_order() -> None:
    network = renamed(["a", "b", "c"])
    settings = {"conditions": {"text": ""}, "inputs": ("noisy", "condition", "text")}
    exporter = small_exporter(network, **settings)
    assert [value.name for value in exporter.graph("sampler").graph.input][-1] == "text"


def test_tables_are_not_learned_for_networks_with_conditions(tmp_path: Path) -> None:
    from diffkiln.export import Learning

    with pytest.raises(InputError, match="learned from seeds alone, but the network also takes"):
        conditioned_bundle(tmp_path / "bundle", learning=Learning())
