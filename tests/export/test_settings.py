"""One set of settings for Python, the command and the manifest."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

import diffkiln.export
from diffkiln.export import Baking, CosineSchedule, ddpm_cosine, ddpm_linear
from diffkiln.export.cli import FLAGS
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
    assert merged == Baking(solver="dpmpp_2m")
    assert model == Model(0.5, 0.25)


def test_settings_are_checked_once_and_then_fixed() -> None:
    with pytest.raises(InputError, match="eta=2: expected a number from 0"):
        Baking(eta=2)
    with pytest.raises(FrozenInstanceError):
        Baking().eta = 1.0  # type: ignore[misc]
    assert Baking(graphs=["sampler"]).graphs == ("sampler",)


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
