"""Presets: all settings of a run. A command names only the settings that it changes."""

from typing import Any

from .config import TrainConfig
from .errors import InputError, check_choice

_COMMON: dict[str, Any] = {
    "data": "synthetic",
    "data_dir": None,
    "split": None,
    "eval_split": None,
    "precision": "float32",
    "jit_compile": None,
    "schedule": "cosine",
    "max_signal_rate": 0.95,
    "min_signal_rate": 0.02,
    "prediction": "velocity",
    "seed": 0,
}

# Predicting the picture with the loss of the velocity learns fastest; see docs/report.md.
_ENLARGING: dict[str, Any] = {
    "task": "super_resolution",
    "prediction": "image",
    "loss_weighting": "velocity",
    "batch_size": 32,
    "learning_rate": 1.5e-3,
    "learning_rate_decay": "cosine",
    "warm_up_steps": 200,
    "ema_half_life_images": 50_000,
    "blocks": 2,
    "checkpoint_every_steps": 500,
    "preview_every_steps": 1000,
    "log_every_steps": 100,
}

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "image_size": 32,
        "batch_size": 32,
        "train_steps": 1200,
        "learning_rate": 2e-3,
        "warm_up_steps": 50,
        "ema_half_life_images": 10_000,
        "widths": (32, 64),
        "blocks": 1,
        "patch_size": 2,
        "checkpoint_every_steps": 500,
        "preview_every_steps": 500,
        "log_every_steps": 50,
    },
    "flowers64": {
        "image_size": 64,
        "batch_size": 32,
        "train_steps": 100_000,
        "learning_rate": 1e-3,
        "warm_up_steps": 500,
        "ema_half_life_images": 50_000,
        "widths": (48, 80, 112),
        "blocks": 2,
        "patch_size": 2,
        "checkpoint_every_steps": 1000,
        "preview_every_steps": 2000,
        "log_every_steps": 100,
    },
    # From 16×16 to 64×64.
    "flowers64x4": {
        **_ENLARGING,
        "factor": 4,
        "image_size": 64,
        "batch_size": 16,
        "train_steps": 14_000,
        "widths": (40, 64, 96),
        "patch_size": 2,
    },
    # From 64×64 to 128×128.
    "flowers128x2": {
        **_ENLARGING,
        "factor": 2,
        "image_size": 128,
        "train_steps": 20_000,
        "widths": (48, 64, 96),
        "patch_size": 4,
    },
}

# A student has the network of its teacher, and learns from seeds alone.
_DISTILLING: dict[str, Any] = {
    "data": "seeds",
    "student_steps": (2, 3, 4, 6),
    "batch_size": 16,
    "train_steps": 2000,
    "learning_rate": 3e-4,
    "learning_rate_decay": "cosine",
    "warm_up_steps": 50,
    "ema_half_life_images": 2000,
    "checkpoint_every_steps": 100,
    "preview_every_steps": 200,
    "log_every_steps": 50,
}
_OF_TEACHER = (
    *("preset", "image_size", "channels", "levels", "fit", "widths", "blocks", "patch_size"),
    *("attention_heads", "num_classes", "schedule", "max_signal_rate", "min_signal_rate"),
    *("prediction", "task", "factor"),
)
# What else may be said of a student.
_OF_STUDENT = (
    *(*_DISTILLING.keys() - {"data"}, "distill_from", "init_from", "teacher_steps"),
    *("guidance_range", "label_dropout", "seed", "precision", "jit_compile", "weight_decay"),
    *("accumulation_steps", "gradient_clip_norm", "distribute", "worker_timeout_s"),
    "keep_checkpoints",
)
_GUIDANCE_RANGE = (1.0, 4.0)

_SPLITS = {"tfds:oxford_flowers102": {"split": "train+test", "eval_split": "validation"}}


def preset_config(preset: str, **settings: Any) -> TrainConfig:
    """The preset's configuration, changed by every one of the `settings` that is not None.

    Raises InputError for an unknown preset and for wrong settings.
    """
    check_choice("preset", preset, tuple(PRESETS))
    changes = {name: value for name, value in settings.items() if value is not None}
    for name in ("max_signal_rate", "min_signal_rate"):
        if name in changes and changes.get("schedule", "cosine") != "cosine":
            problem = f"only the cosine schedule has it, not {changes['schedule']}; leave it out"
            raise InputError(f"{name}={changes[name]}: {problem}")
    defaults = {**_COMMON, **PRESETS[preset], **_SPLITS.get(changes.get("data", ""), {})}
    if changes.get("task", "super_resolution") != "super_resolution":
        defaults.pop("factor", None)
    return TrainConfig(preset=preset, **{**defaults, **changes})


def student_config(teacher: TrainConfig, **settings: Any) -> TrainConfig:
    """The configuration of a student of this teacher, changed by the `settings` that are not None.

    Raises InputError for settings that are the teacher's, and for wrong ones.
    """
    changes = {name: value for name, value in settings.items() if value is not None}
    for name in changes.keys() - set(_OF_STUDENT):
        problem = "a student has its teacher's, and reads no pictures; leave it out"
        raise InputError(f"{name}={changes[name]}: {problem}")
    own = {name: getattr(teacher, name) for name in _OF_TEACHER}
    if teacher.num_classes is not None:
        own["guidance_range"] = _GUIDANCE_RANGE
    common = {name: _COMMON[name] for name in ("data_dir", "split", "eval_split")}
    same = {name: _COMMON[name] for name in ("precision", "jit_compile", "seed")}
    return TrainConfig(**{**common, **same, **_DISTILLING, **own, **changes})
