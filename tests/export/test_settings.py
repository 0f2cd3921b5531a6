"""One set of settings for Python, the command and the manifest."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diffkiln.export
from diffkiln.export import Baking, CosineSchedule, ddpm_cosine, ddpm_linear
from diffkiln.export.checks import check_json, read_names
from diffkiln.export.flags import FLAGS
from diffkiln.export.model import Model
from diffkiln.export.options import BakingSettings, Settings, settings_as_objects
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.maths import schedules

BAKING, MODEL = ({field.name for field in fields(kind)} for kind in (Baking, Model))


def test_keywords_and_flags_are_the_fields() -> None:
    assert set(BakingSettings.__annotations__) == BAKING
    assert set(Settings.__annotations__) == BAKING | MODEL
    assert set(FLAGS) >= BAKING | MODEL
    defaults: Any = {name: FLAGS[name].default for name in BAKING}
    assert Baking(**defaults) == Baking()


def test_keywords_take_precedence_over_the_object() -> None:
    baking = Baking(solver="dpmpp_2m", clip=False)
    model, merged = settings_as_objects(baking, pixel_mean=0.5, pixel_std=0.25, clip=True)
    assert merged == Baking(solver="dpmpp_2m", clip=True)
    assert model == Model(0.5, 0.25)


def test_a_misspelt_or_missing_setting_is_named() -> None:
    misspelt: Any = {"pixel_men": 0.5, "pixel_std": 0.25}
    with pytest.raises(TypeError, match="pixel_men: no such setting of an export"):
        settings_as_objects(**misspelt)
    missing: Any = {"pixel_std": 0.25}
    with pytest.raises(InputError, match="got pixel_std; expected pixel_mean and pixel_std of a"):
        settings_as_objects(**missing)


def test_settings_are_checked_once_and_then_fixed() -> None:
    with pytest.raises(InputError, match="eta=2: expected a number from 0"):
        Baking(eta=2)
    with pytest.raises(InputError, match="graphs=trajectory: LiteRT has no tensors that grow"):
        Baking(graphs=("sampler", "trajectory"), litert=True)
    with pytest.raises(FrozenInstanceError):
        Baking().eta = 1.0  # type: ignore[misc]
    assert Baking(graphs=["sampler"]).graphs == ("sampler",)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eta": "1"}, "eta='1': expected a number"),
        ({"eta": True}, "eta=True: expected a number"),
        ({"clip": 1}, "clip=1: expected True or False"),
        ({"unroll_steps": 2.0}, "unroll_steps=2.0: expected a whole number, or None"),
        ({"default_guidance": "2"}, "default_guidance='2': expected a number, or None"),
        ({"tables": 3}, "tables=3: expected a path, or None"),
        ({"graphs": "sampler"}, "graphs='sampler': expected a list of names of graphs"),
        ({"class_names": 10}, "class_names=10: expected a list of names"),
        ({"class_names": "rose"}, "class_names='rose': expected a list of names"),
        ({"class_names": [1, 2]}, "class_names: got 2 names, expected at most"),
        ({"inputs": "noisy"}, "inputs='noisy': expected a list of noisy, condition, labels"),
        ({"fit": "fill"}, "fit=fill: expected one of crop, pad, stretch"),
        ({"image_size": 0}, "image_size=0: expected the height and the width to bake"),
        ({"image_size": (8, 8, 3)}, r"image_size=\(8, 8, 3\): expected the height and the width"),
    ],
)
def test_settings_of_another_type_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        settings_as_objects(pixel_mean=0.5, pixel_std=0.25, **settings)


@pytest.mark.parametrize("values", [{"loss": np.float32(1)}, {"loss": float("nan")}, {1j: 0}])
def test_what_json_cannot_hold_is_refused(values: dict) -> None:
    with pytest.raises(InputError, match=r"training: .*; expected JSON values, such as float\(x\)"):
        check_json("training", values)


def test_names_of_classes_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_bytes(b"\xef\xbb\xbfrose\r\n lily \n\n")
    assert read_names(file) == ("rose", "lily")
    file.write_text("rose\n\nlily\n")
    with pytest.raises(InputError, match="line 2 is blank; expected a name on each line"):
        read_names(file)


def test_the_schedules_that_an_export_takes_are_importable_from_it() -> None:
    assert CosineSchedule is schedules.CosineSchedule
    assert (ddpm_linear, ddpm_cosine) == (schedules.ddpm_linear, schedules.ddpm_cosine)
    for name in diffkiln.export.__all__:
        assert getattr(diffkiln.export, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'poem'"):
        _ = diffkiln.export.poem  # type: ignore[attr-defined]


@pytest.mark.slow
def test_settings_and_the_command_import_no_tensorflow() -> None:
    program = """
import sys
import diffkiln.export.cli
from diffkiln.export import Baking
Baking(graphs=("sampler",))
assert not {"tensorflow", "keras", "onnx", "onnxruntime"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
