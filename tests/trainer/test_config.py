"""Settings are checked on construction."""

import json
import re
from dataclasses import fields
from typing import Any

import pytest

from diffkiln.trainer.cli import FLAGS
from diffkiln.trainer.config import TrainConfig
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.presets import PRESETS, preset_config


@pytest.mark.parametrize("preset", PRESETS)
def test_settings_survive_json(preset: str) -> None:
    config = preset_config(preset)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_every_setting_has_a_flag() -> None:
    # The file of arrays has their shape.
    assert {each.name for each in fields(TrainConfig)} - {"array_shape"} <= set(FLAGS)


def test_flowers_have_their_splits() -> None:
    config = preset_config("tiny", data="tfds:oxford_flowers102")
    assert (config.split, config.eval_split) == ("train+test", "validation")


def test_settings_go_over_the_preset() -> None:
    assert preset_config("tiny", seed=7, batch_size=None).seed == 7
    assert preset_config("tiny", batch_size=None).batch_size == PRESETS["tiny"]["batch_size"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": -1.0}, r"^learning_rate=-1.0: expected a number in \(0, 1\]"),
        ({"learning_rate": float("nan")}, "^learning_rate=nan: expected"),
        ({"batch_size": 0}, "^batch_size=0: expected a whole number from 1 to"),
        ({"train_steps": 10**10}, "^train_steps=10000000000: expected"),
        ({"precision": "float17"}, "^precision=float17: expected one of float32, mixed_float16"),
        ({"schedule": "sine"}, "^schedule=sine: expected one of cosine"),
        ({"prediction": "score"}, "^prediction=score: expected one of noise, velocity, image"),
        ({"data": "imagenet"}, "^data=imagenet: expected tfds:NAME, folder:PATH, npz:FILE, syn"),
        (
            {"data": "synthetic:7"},
            "^data=synthetic:7: expected .* synthetic:COUNT with a COUNT of 8",
        ),
        ({"data": "synthetic:many"}, "^data=synthetic:many: expected"),
        ({"data": "synthetic:"}, "^data=synthetic:: expected"),
        ({"data": "folder:"}, "^data=folder:: expected"),
        ({"split": "train"}, "^split=train: only tfds: data has it"),
        ({"eval_split": "10%"}, "^eval_split=10%: only tfds:, folder: and npz: data has it"),
        *(
            (
                {"data": "folder:x", "eval_split": share},
                f"^eval_split={share}: expected a share of the pictures such as 10%, or fol",
            )
            for share in ("validation", "0%", "100%", "10", "-1%", "nan%", "folder:")
        ),
        ({"image_feature": "x"}, "^image_feature=x: only tfds: data has it"),
        ({"labels": "x.csv"}, "^labels=x.csv: only folder: data has it"),
        ({"data": "folder:x", "labels": "x.csv"}, "^labels=x.csv: only num_classes uses it; give"),
        (
            {"data": "tfds:x", "label_feature": "y"},
            "^label_feature=y: only num_classes uses it; give num_classes too, or",
        ),
        *(
            (
                {"data": "folder:x", "num_classes": 2, "labels": f"name:{regex}"},
                f"^labels=name:{re.escape(regex)}: {problem}; expected one group, which is the cl",
            )
            for regex, problem in (
                ("(", r"no regular expression \(missing \).*\)"),
                ("x", "has 0 groups"),
                ("(x)(y)", "has 2 groups"),
            )
        ),
        ({"image_size": 30}, "^image_size=30: expected a multiple of 4"),
        ({"widths": ()}, "^widths=: expected at least one"),
        ({"widths": ("a",)}, "^widths=a: expected a whole number"),
        ({"attention_heads": -1}, "^attention_heads=-1: expected a whole number from 0"),
        ({"attention_heads": 5}, "^attention_heads=5: expected a divisor of 64, the width of the"),
        ({"seed": True}, "^seed=True: expected a whole number"),
        ({"max_signal_rate": 1.5}, "max_signal_rate=1.5: expected 0.001 <= min_signal_rate"),
        ({"min_signal_rate": 0.1, "schedule": "ddpm_linear"}, "^min_signal_rate=0.1: only the cos"),
        ({"data": "tfds:mnist", "split": ""}, "^split=: empty"),
        ({"cache": "tape"}, "^cache=tape: expected one of memory, disk, none"),
        ({"cache": "none"}, "^cache=none: data=synthetic cannot be read in any order; .* leave it"),
        ({"image_size": 4}, "^image_size=4: expected a whole number from 8"),
        ({"dropout": 1.0}, r"^dropout=1.0: expected a number in \[0, 1\)"),
        ({"dropout": float("nan")}, "^dropout=nan: expected a number in"),
        ({"label_dropout": 1.0}, r"^label_dropout=1.0: expected a number in \[0, 1\)"),
        ({"worker_timeout_s": 0.0}, "^worker_timeout_s=0.0: expected a number of seconds above 0"),
        ({"gradient_clip_norm": 0.0}, "^gradient_clip_norm=0.0: expected a number above 0"),
        ({"task": "drawing"}, "^task=drawing: expected one of generation, super_resolution, inp"),
        ({"task": "super_resolution"}, "^task=super_resolution: needs a factor, how many times"),
        ({"picture_size": 64}, "^picture_size=64: only crops are cut out of it; give augment=crop"),
        (
            {"picture_size": 16, "augment": "crop"},
            "^picture_size=16: expected at least image_size=32",
        ),
        ({"factor": 4}, "^factor=4: only task=super_resolution and autoencoder have it, not gen"),
        ({"task": "inpainting", "factor": 4}, "^factor=4: only .* have it, not inpainting; leave"),
        *(
            ({"task": "super_resolution", "factor": factor}, f"^factor={factor}: expected {words}")
            for factor, words in (
                (1, "a whole number from 2 to 8"),
                (9, "a whole number from 2 to 8"),
                (3, "a divisor of image_size=32 from 2 to 8"),
            )
        ),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        preset_config("tiny", **settings)


def test_conditions_follow_from_the_task() -> None:
    config = preset_config("tiny", task="super_resolution", factor=4, channels=1)
    assert list(map(str, config.conditions)) == [
        "low_resolution float32 [N, 8, 8, 1]",
        "augmentation float32 [N]",
    ]
    painting = preset_config("tiny", task="inpainting")
    assert [(each.name, each.kind, each.shape) for each in painting.conditions] == [
        ("masked_image", "image", (32, 32, 3)),
        ("paint_mask", "mask", (32, 32, 1)),
    ]
    assert preset_config("tiny").conditions == ()


def test_a_run_without_newer_settings_has_the_record_of_older_versions() -> None:
    newer = {"task", "factor", "picture_size"}
    assert not newer & preset_config("tiny").to_json().keys()
    assert preset_config("flowers64x4").to_json()["factor"] == 4


def test_a_network_that_enlarges_and_predicts_the_image_is_residual() -> None:
    assert preset_config("flowers64x4").network.residual
    assert not preset_config("flowers64x4", prediction="velocity").network.residual
    assert not preset_config("flowers64x4", task="inpainting").network.residual


def test_another_task_leaves_the_factor_of_a_preset_out() -> None:
    assert preset_config("flowers64x4", task="inpainting").factor is None
    assert preset_config("flowers64x4", factor=2).factor == 2


def test_unknown_and_missing_settings_are_refused() -> None:
    settings = preset_config("tiny").to_json()
    settings["colour"] = settings.pop("seed")
    with pytest.raises(
        InputError, match=r"unknown settings \['colour'\], missing settings \['seed'\]"
    ):
        TrainConfig.from_json(settings)


def test_a_folder_may_lie_elsewhere() -> None:
    before, after = (preset_config("tiny", data=f"folder:{name}") for name in ("here", "there"))
    assert not before.differences(after)
    assert before.differences(preset_config("tiny")) == ["data: folder:here, not synthetic"]


def test_a_folder_that_is_held_out_may_lie_elsewhere() -> None:
    before, after, other = (
        preset_config("tiny", data="folder:x", eval_split=each)
        for each in ("folder:here", "folder:there", "10%")
    )
    assert not before.differences(after)
    assert before.differences(other) == ["eval_split: folder:here, not 10%"]


def test_a_file_of_labels_may_lie_elsewhere() -> None:
    before, after, other = (
        preset_config("tiny", data="folder:x", num_classes=2, labels=each)
        for each in ("a.csv", "b.csv", "name:(.)")
    )
    assert not before.differences(after)
    assert before.differences(other) == ["labels: a.csv, not name:(.)"]


def test_differences_name_what_a_run_cannot_change() -> None:
    before, after = preset_config("tiny"), preset_config("tiny", seed=3, train_steps=9)
    assert before.differences(after) == ["seed: 0, not 3"]


# What versions before each setting did. These runs exist, so the values are fixed.
OLD_BEHAVIOUR = {
    "learning_rate_decay": "constant",
    "weight_decay": 0.0,
    "gradient_clip_norm": 1.0,
    "dropout": 0.0,
    "loss_weighting": "uniform",
    "time_sampling": "uniform",
    "init_from": None,
    "keep_checkpoints": 3,
    "distribute": "none",
    "worker_timeout_s": 300.0,
    "kid_every_steps": None,
    "kid_images": 512,
    "kid_weights": None,
    "cache": None,
    "fit": "crop",
    "attention_heads": 0,
    "num_classes": None,
    "label_dropout": 0.1,
    "labels": None,
    "image_feature": None,
    "label_feature": None,
}


def test_runs_of_the_first_version_load() -> None:
    settings = preset_config("tiny").to_json()
    first = {name: value for name, value in settings.items() if name not in OLD_BEHAVIOUR}
    assert TrainConfig.from_json(first).to_json() == {**first, **OLD_BEHAVIOUR}


def test_another_cache_is_no_difference() -> None:
    assert not preset_config("tiny").differences(preset_config("tiny", cache="disk"))
