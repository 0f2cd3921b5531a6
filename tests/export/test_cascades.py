"""Cascades: a second stage that enlarges what the first draws, in one graph with one seed."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from enlarging_models import SMALL_PICTURE, SMALL_SHAPE, enlarging_network
from golden_bundles import conditioned
from keras import layers
from latent_models import LATENTS, SHAPE, repeating_decoder
from small_models import PIXELS, array_network, with_random_weights

from diffkiln.export import Condition, export_bundle
from diffkiln.export.proof.reference_noise import reference_noise
from diffkiln.export.verify import verify_bundle
from diffkiln.runtime import Sampler, open_bundle
from diffkiln.trainer.errors import InputError

pytestmark = pytest.mark.slow

STEPS, LARGE = 3, (32, 24, 3)
FIRST_STREAM = 2**20
ENLARGES: dict[str, Any] = {**PIXELS, "prediction": "image", "conditions": SMALL_PICTURE}
LEAST: dict[str, Any] = {**PIXELS, "graphs": ("sampler",), "saved_model": False}
# Rounding may fall to either side of a level where numbers are added in another order.
LEVEL = 1


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("second") / "bundle"
    export_bundle(enlarging_network(), folder, solver="dpmpp_2m", **ENLARGES)
    return folder


@pytest.fixture(scope="module")
def cascade(tmp_path_factory: pytest.TempPathFactory, second: Path) -> Path:
    folder = tmp_path_factory.mktemp("cascade") / "bundle"
    settings = {"class_names": ("a", "b"), "then": second, "then_steps": STEPS, "litert": True}
    export_bundle(array_network(SMALL_SHAPE, classes=2), folder, **settings, **PIXELS)
    return folder


def apart(some: np.ndarray, others: np.ndarray) -> int:
    return int(np.abs(some.astype(int) - others).max())


def test_the_stages_draw_what_their_bundles_draw(
    tmp_path: Path, cascade: Path, second: Path
) -> None:
    network, named = array_network(SMALL_SHAPE, classes=2), {"class_names": ("a", "b")}
    export_bundle(network, tmp_path / "first", image_dtype="float32", **named, **LEAST)
    seeds = np.array([3, 2**40])
    small = Sampler(tmp_path / "first", device="cpu").sample(seeds, steps=6)
    feeds = {
        "noise": reference_noise(seeds.tolist(), LARGE, stream=FIRST_STREAM).astype(np.float32),
        "steps": np.array(STEPS),
        "low_resolution": np.rint(255 * small).astype(np.uint8),
        "augmentation": np.full(2, 0.25, np.float32),
    }
    with Sampler(second, device="cpu") as sampler:
        (expected,) = sampler.run("from_noise", feeds)
    drawn = Sampler(cascade, device="cpu").sample(seeds, steps=6)
    # The second bundle alone gets whole levels, half a level away at most.
    assert apart(drawn, expected) <= 2 * LEVEL


def test_every_form_is_proved_and_proved_again(cascade: Path, second: Path) -> None:
    forms = json.loads((cascade / "bundle.json").read_text())["certificate"]["to_reference"]
    files = {"sampler.onnx", "from_noise.onnx", "upscaler.onnx", "step.onnx", "upscaler.tflite"}
    assert {*files, "saved_model serving_default", "saved_model upscale"} <= forms.keys()
    assert verify_bundle(cascade, then=second).to_reference.keys() == forms.keys()


def test_the_manifest_says_what_the_stages_are(cascade: Path, second: Path) -> None:
    manifest = json.loads((cascade / "bundle.json").read_text())
    assert (manifest["format_version"], manifest["noise"]["version"]) == (6, 2)
    assert [manifest["image"][side] for side in ("height", "width", "channels")] == [*LARGE]
    assert (manifest["then"]["factor"], manifest["then"]["steps"]) == (2, STEPS)
    assert manifest["then"]["model"] == json.loads((second / "bundle.json").read_text())["model"]
    assert manifest["noise"]["golden"][-1]["stream"] == FIRST_STREAM


def test_each_stage_has_its_loop_and_the_second_takes_constant_steps(cascade: Path) -> None:
    for name, loops in (("sampler", 2), ("from_noise", 2), ("upscaler", 1), ("step", 0)):
        graph = onnx.load(cascade / f"{name}.onnx").graph
        assert [node.op_type for node in graph.node].count("Loop") == loops
    inputs = [value.name for value in onnx.load(cascade / "upscaler.onnx").graph.input]
    assert inputs == ["low_resolution", "seeds"]


@pytest.mark.parametrize(
    "settings",
    [
        {"image_dtype": "float32"},
        {"eta": 0.6, "graphs": ("sampler", "from_noise", "step", "noise")},
        {"solver": "dpmpp_2m", "weight_storage": "float16"},
        {"precision": "float16"},
        {"unroll_steps": 4, "batch_size": 2},
        {"numbers_as_lists": True, "graphs": ("sampler", "step")},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_any_first_stage_goes_on(tmp_path: Path, settings: dict[str, Any]) -> None:
    dtype, then = settings.get("image_dtype", "uint8"), tmp_path / "second"
    second = {**LEAST, **ENLARGES, "graphs": ("sampler", "denoiser"), "image_dtype": dtype}
    export_bundle(enlarging_network(), then, **second)
    settings = {**LEAST, **settings, "then": then, "then_steps": 2}
    export_bundle(array_network(SMALL_SHAPE), tmp_path / "bundle", **settings)
    images = Sampler(tmp_path / "bundle", device="cpu").sample(2, steps=4)
    assert (images.shape, images.dtype) == ((2, *LARGE), dtype)
    assert not np.array_equal(images[0], images[1])


def test_noise_in_the_small_picture_is_told(tmp_path: Path, second: Path) -> None:
    drawn = {}
    for level in (0.0, 0.3):
        settings: dict[str, Any] = {**LEAST, "then": second, "then_augmentation": level}
        # The certificate compares it with the reference.
        export_bundle(array_network(SMALL_SHAPE), tmp_path / f"{level}", **settings, then_steps=2)
        drawn[level] = Sampler(tmp_path / f"{level}", device="cpu").sample(2, steps=3)
    assert apart(drawn[0.0], drawn[0.3]) > 10
    manifest = json.loads((tmp_path / "0.3" / "bundle.json").read_text())
    assert manifest["then"]["augmentation"] == 0.3


def test_a_condition_of_both_stages_is_given_once(tmp_path: Path) -> None:
    text = {"text": Condition("Two words.", null=None)}
    first, then = conditioned(["text"], classes=0), tmp_path / "second"
    # The null is that stage's own, and the first one's entry has no default.
    other = {"text": Condition("The same two words.", null=0.5, default=1.0)}
    enlarging = {"low_resolution": SMALL_PICTURE["low_resolution"], **other}
    second: dict[str, Any] = {**LEAST, **ENLARGES, "conditions": enlarging}
    second["graphs"] = ("sampler", "denoiser")
    export_bundle(enlarging_network_told("text"), then, **second)
    settings: dict[str, Any] = {**LEAST, "conditions": text, "then": then, "then_steps": 2}
    settings["graphs"] = ("sampler", "noise", "step")
    with pytest.raises(InputError, match=r"then_augmentation=0\.1: its network has no condition"):
        export_bundle(first, tmp_path / "bundle", **settings, then_augmentation=0.1)
    export_bundle(first, tmp_path / "bundle", **settings)
    with Sampler(tmp_path / "bundle", device="cpu") as sampler:
        words = np.random.default_rng(0).normal(size=(2, 2, 3)).astype(np.float32)
        drawn = sampler.sample(2, steps=3, conditions={"text": words})
        steps = dict(sampler.stepwise(2, steps=3, conditions={"text": words}))
        assert apart(drawn, steps[2]) <= LEVEL
        assert [port.name for port in sampler.bundle.graph("upscaler").signature.inputs] == [
            *("low_resolution", "seeds", "text")
        ]


def second_told_an_age(folder: Path) -> dict[str, Any]:
    """The settings of a first stage before a second one that is told an age of 0 to 4."""
    age = {"age": Condition("How old.", maximum=4, null=None, default=0)}
    given = {"low_resolution": SMALL_PICTURE["low_resolution"], **age}
    own: dict[str, Any] = {**LEAST, **ENLARGES, "conditions": given}
    own["graphs"] = ("sampler", "denoiser")
    export_bundle(enlarging_network_told("age"), folder, **own)
    return {**LEAST, "then": folder, "then_steps": 2}


def test_the_second_stage_takes_all_that_the_first_may_be_given(tmp_path: Path) -> None:
    first, settings = conditioned(["age"], classes=0), second_told_an_age(tmp_path / "second")
    wide, narrow = ({"age": Condition(minimum=1, maximum=most, null=None)} for most in (9, 4))
    expected = r"takes age int64\[\] from 0 to 4, expected all .*, age int64\[\] from 1 to 9; give"
    with pytest.raises(InputError, match=expected):
        export_bundle(first, tmp_path / "bundle", **settings, conditions=wide)
    export_bundle(first, tmp_path / "bundle", **settings, conditions=narrow)
    age = {"age": np.array([1, 4])}
    assert Sampler(tmp_path / "bundle", device="cpu").sample(2, steps=2, conditions=age).any()


def test_a_condition_of_both_stages_has_one_form(tmp_path: Path) -> None:
    first, settings = network_told("age", (16, 16, 3)), second_told_an_age(tmp_path / "second")
    expected = r"takes age int64\[\] .*, expected age float32\[\] as in the first stage; rename it"
    with pytest.raises(InputError, match=expected):
        export_bundle(first, tmp_path / "bundle", **settings, conditions={"age": Condition()})


def test_the_level_that_is_baked_is_told_whatever_the_first_stage_is(tmp_path: Path) -> None:
    level = {"augmentation": Condition(null=None)}  # without a default, which it does not need
    second: dict[str, Any] = {**LEAST, **ENLARGES, "conditions": SMALL_PICTURE | level}
    second["graphs"], then = ("sampler", "denoiser"), tmp_path / "second"
    export_bundle(enlarging_network(), then, **second)
    own: dict[str, Any] = {**LEAST, "then": then, "conditions": level}
    own |= {"then_steps": np.int64(2), "then_augmentation": np.float32(0.25)}
    # The certificate compares it with the reference, for other levels of the first stage.
    export_bundle(network_told("augmentation", SMALL_SHAPE), tmp_path / "bundle", **own)
    bundle = open_bundle(tmp_path / "bundle")
    inputs = [port.name for port in bundle.graph("upscaler").signature.inputs]
    assert inputs == ["low_resolution", "seeds"]
    assert [each.name for each in bundle.conditions] == ["augmentation"]
    then_entry = json.loads((tmp_path / "bundle" / "bundle.json").read_text())["then"]
    assert (then_entry["steps"], then_entry["augmentation"]) == (2, 0.25)


def network_told(name: str, shape: tuple[int, int, int]) -> keras.Model:
    """A network of pictures of this shape that is told a number."""
    noisy, time = keras.Input(shape, name="noisy"), keras.Input((), name="time")
    told = keras.Input((), name=name)
    numbers = layers.Concatenate()([layers.Reshape((1,))(each) for each in (time, told)])
    x = layers.Dense(8)(noisy) + layers.Reshape((1, 1, 8))(layers.Dense(8)(numbers))
    return with_random_weights(keras.Model([noisy, time, told], layers.Dense(3)(keras.ops.tanh(x))))


def test_classes_of_both_stages_are_given_once(tmp_path: Path) -> None:
    names: dict[str, Any] = {"class_names": ("a", "b")}
    then = tmp_path / "second"
    small = {"low_resolution": SMALL_PICTURE["low_resolution"]}
    second: dict[str, Any] = {**LEAST, **ENLARGES, "conditions": small, **names}
    second |= {"graphs": ("sampler", "denoiser"), "default_guidance": 1.5}
    export_bundle(enlarging_network_told("labels"), then, **second)
    first = array_network((16, 16, 3), classes=2)
    settings: dict[str, Any] = {**LEAST, "then": then}
    settings |= {"graphs": ("sampler", "noise", "step"), "then_steps": 2}
    with pytest.raises(InputError, match="knows 2 classes that are not the 2 of the first"):
        export_bundle(first, tmp_path / "b", **settings, class_names=("b", "a"))
    export_bundle(first, tmp_path / "bundle", **settings, **names)
    with Sampler(tmp_path / "bundle", device="cpu") as sampler:
        drawn = sampler.sample(2, steps=3, labels=["b", -1], guidance=3)
        steps = dict(sampler.stepwise(2, steps=3, labels=["b", -1], guidance=3))
        assert apart(drawn, steps[2]) <= LEVEL
        assert [port.name for port in sampler.bundle.graph("upscaler").signature.inputs] == [
            *("low_resolution", "seeds", "labels")
        ]


def enlarging_network_told(name: str) -> keras.Model:
    """Convolutions of noise, a picture half as large, and two words, an age or one of 2 classes."""
    noisy, time = keras.Input((32, 32, 3), name="noisy"), keras.Input((), name="time")
    small = keras.Input((16, 16, 3), name="low_resolution")
    if name == "text":
        further = keras.Input((2, 3), name=name)
        told = layers.Reshape((6,))(further)
    else:
        further = keras.Input((), dtype="int64", name=name)
        told = keras.ops.equal(layers.Reshape((1,))(further), keras.ops.arange(2))
        told = keras.ops.cast(told, "float32")
    large, numbers = layers.UpSampling2D(2)(small), [layers.Reshape((1,))(time), told]
    added = layers.Reshape((1, 1, 8))(layers.Dense(8)(layers.Concatenate()(numbers)))
    x = layers.Conv2D(8, 3, padding="same")(layers.Concatenate()([noisy, large])) + added
    output = large + layers.Conv2D(3, 3, padding="same")(keras.ops.tanh(x))
    inputs = [noisy, time, small]
    inputs.insert(2 if name == "labels" else 3, further)
    return with_random_weights(keras.Model(inputs, output))


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((16, 16, 3), {}, r"enlarges pictures \[16, 12, 3\], expected \[16, 16, 3\]"),
        ((16, 12), {"mean": 0, "std": 1}, "the first stage draws arrays that are no pictures"),
        (SMALL_SHAPE, {"image_dtype": "float32"}, "draws pictures of uint8, expected image_dtype="),
        (SMALL_SHAPE, {"graphs": ("sampler", "edit")}, "graphs=edit: a cascade has no such graph"),
        (SMALL_SHAPE, {"then_steps": 0}, "then_steps=0: expected a whole number from 1 to 1000"),
        (SMALL_SHAPE, {"then_steps": 2.5}, "then_steps=2.5: expected a whole number"),
        (SMALL_SHAPE, {"then_steps": True}, "then_steps=True: expected a whole number"),
        (SMALL_SHAPE, {"then_augmentation": False}, "then_augmentation=False: expected a number"),
        (SMALL_SHAPE, {"then_augmentation": 1}, "then_augmentation=1: expected a number from 0"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, second: Path, shape: tuple[int, ...], settings: dict[str, Any], message: str
) -> None:
    kept = {name: value for name, value in LEAST.items() if name not in PIXELS}
    own: dict[str, Any] = {**(kept if "mean" in settings else LEAST), **settings}
    with pytest.raises(InputError, match=message):
        export_bundle(array_network(shape), tmp_path / "b", then=second, **own)
    assert not (tmp_path / "b").exists()


def test_latents_are_not_a_first_stage(tmp_path: Path, second: Path) -> None:
    settings = {**LATENTS, "graphs": ("sampler",), "saved_model": False, "then": second}
    with pytest.raises(InputError, match="the first stage draws latents"):
        export_bundle(array_network(SHAPE), tmp_path / "b", decoder=repeating_decoder(), **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eta": 0.5}, "draws fresh noise in each step, expected a deterministic sampler"),
        ({"unroll_steps": 2}, "is unrolled, expected a loop"),
        ({"graphs": ("sampler",)}, "holds no graph 'denoiser'"),
        ({"conditions": {**SMALL_PICTURE, "augmentation": {"null": None}}}, "has no default"),
        (
            {"conditions": {**SMALL_PICTURE, "low_resolution": {"dtype": "uint8", "null": 0}}},
            "may leave the picture out under guidance",
        ),
    ],
    ids=["fresh", "unrolled", "no denoiser", "no default", "null"],
)
def test_a_second_stage_that_cannot_go_on_is_refused(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    own = {**LEAST, **ENLARGES, "graphs": ("sampler", "denoiser"), **settings}
    export_bundle(enlarging_network(), tmp_path / "second", **own)
    with pytest.raises(InputError, match=message):
        export_bundle(array_network(SMALL_SHAPE), tmp_path / "b", then=tmp_path / "second", **LEAST)


def test_other_bundles_are_refused(tmp_path: Path, cascade: Path, second: Path) -> None:
    for then in (cascade, tmp_path / "nothing"):
        with pytest.raises(InputError, match=r"enlarges none|does not exist"):
            export_bundle(array_network(SMALL_SHAPE), tmp_path / "b", then=then, **LEAST)
    with pytest.raises(InputError, match=r"then='': expected the folder of a super-resolution bun"):
        export_bundle(array_network(SMALL_SHAPE), tmp_path / "b", then="", **LEAST)
    with pytest.raises(InputError, match="then: missing, but the bundle is a cascade"):
        verify_bundle(cascade)
    with pytest.raises(InputError, match="is for a cascade, and the bundle has one stage"):
        verify_bundle(second, then=second)
    with pytest.raises(InputError, match="then_steps=3: is for a second stage"):
        export_bundle(array_network(SMALL_SHAPE), tmp_path / "b", then_steps=3, **LEAST)


def test_an_enlarging_network_is_no_first_stage(tmp_path: Path, second: Path) -> None:
    settings: dict[str, Any] = {**LEAST, **ENLARGES, "then": second}
    with pytest.raises(InputError, match="and the first stage enlarges some itself"):
        export_bundle(enlarging_network(), tmp_path / "b", **settings)


def test_a_saved_model_needs_that_of_the_second_stage(tmp_path: Path) -> None:
    own = {**LEAST, **ENLARGES, "graphs": ("sampler", "denoiser")}
    export_bundle(enlarging_network(), tmp_path / "second", **own)
    settings = {**LEAST, "saved_model": True, "then": tmp_path / "second"}
    with pytest.raises(InputError, match="holds no SavedModel with the signature 'network'"):
        export_bundle(array_network(SMALL_SHAPE), tmp_path / "b", **settings)
