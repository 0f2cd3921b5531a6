"""Which input is which: by name, by dtype and shape, or not at all."""

import keras
import pytest

from diffkiln.export.network.roles import Input, inputs_of, roles_of
from diffkiln.trainer.errors import InputError

IMAGE, TIME, LABEL = (8, 8, 3), (1,), (1,)
USUAL = ("noisy", "condition", "labels")


def roles(*inputs: tuple[str, tuple[int, ...], str], classes: int = 4, **settings) -> tuple:
    order, whole = settings.get("order", ()), settings.get("whole", False)
    return roles_of([Input(*one) for one in inputs], classes, order, whole_condition=whole)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("image", "time", "label"), USUAL),
        (("x_t", "y", "t"), ("noisy", "labels", "condition")),
        (("noisyImages", "class_labels", "noise_variances"), ("noisy", "labels", "condition")),
        (("input_1", "", "classes"), USUAL),  # one name settles both
        (("", "sigma_input", ""), USUAL),
    ],
)
def test_names_say_which_input_is_which(names: tuple[str, ...], expected: tuple[str, ...]) -> None:
    shapes = (IMAGE, (1,), (1,))
    inputs = [(name, shape, "float32") for name, shape in zip(names, shapes, strict=True)]
    assert roles(*inputs) == expected


@pytest.mark.parametrize("whole", [False, True])
def test_whole_numbers_are_labels_if_the_condition_is_none(whole: bool) -> None:
    usual = ("", IMAGE, "float32"), ("", TIME, "float32"), ("", LABEL, "int32")
    swapped = usual[0], usual[2], usual[1]
    assert roles(*usual, whole=whole) == USUAL
    if not whole:
        assert roles(*swapped) == ("noisy", "labels", "condition")
        return
    with pytest.raises(
        InputError, match=r"can be read in several ways; .* inputs=noisy,labels,cond"
    ):
        roles(*swapped, whole=True)


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_two_readings_are_refused_and_the_setting_settles_them(dtype: str) -> None:
    inputs = ("", IMAGE, "float32"), ("", (), dtype), ("", (), dtype)
    with pytest.raises(InputError, match="inputs=noisy,condition,labels or inputs=noisy,labels,"):
        roles(*inputs, whole=True)
    order = ("noisy", "labels", "condition")
    assert roles(*inputs, whole=True, order=order) == order


@pytest.mark.parametrize(
    ("shape", "role"),
    [((), "condition"), ((1, 1), "condition"), ((8, 8, 1), "condition"), ((4,), "labels")],
)
def test_shapes_that_a_condition_and_labels_have(shape: tuple[int, ...], role: str) -> None:
    other = ("label" if role == "condition" else "time", (), "float32")
    by_place = dict(enumerate(roles(("", shape, "float32"), ("", IMAGE, "float32"), other)))
    assert by_place == {0: role, 1: "noisy", 2: "labels" if role == "condition" else "condition"}


def test_a_grey_image_and_a_map_of_noise_levels_need_names() -> None:
    grey = ("", (8, 8, 1), "float32")
    with pytest.raises(InputError, match="can be read in several ways"):
        roles(grey, grey, classes=0)
    assert roles(("level", *grey[1:]), grey, classes=0) == ("condition", "noisy")


@pytest.mark.parametrize(
    ("inputs", "settings", "message"),
    [
        ([("label", (1,))], {}, "have names that say something else; .* give class_names if"),
        ([("t", (1,)), ("time", (1,))], {"classes": 4}, "have names that say something else"),
        (
            [("t", (1,)), ("", (1,))],
            {},
            "; give class_names if it takes labels, and conditions={NAME: …} for what else it",
        ),
        ([("t", (77, 768))], {}, r"1: float32\[N, 8, 8, 3\], 2: t float32\[N, 77, 768\]; expected"),
        (
            [("t", (1,)), ("y", (1,))],
            {"classes": 1},
            "may take the one class as a number or one-ho",
        ),
        ([("t", (1,))], {"order": ("image", "t")}, "inputs=image,t: expected noisy, condition in"),
        ([("t", (1,))], {"order": ("condition", "noisy")}, "which cannot be inputs=condition,noi"),
    ],
)
def test_what_fits_no_reading_is_refused(inputs: list, settings: dict, message: str) -> None:
    some = [("", IMAGE, "float32"), *((*one, "float32") for one in inputs)]
    with pytest.raises(InputError, match=message):
        roles(*some, **{"classes": 0, **settings})


def test_keys_and_chosen_names_are_names_and_made_up_ones_are_none() -> None:
    a, b = keras.Input(IMAGE), keras.Input((), name="level")
    assert [x.name for x in inputs_of(keras.Model([a, b], a))] == ["", "level"]
    x = keras.Input(IMAGE, name="x")
    assert [each.name for each in inputs_of(keras.Model({"x": x, "level": b}, x))] == ["level", "x"]
