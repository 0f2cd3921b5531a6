"""Presets: all settings of a run. A command names only the settings that it changes."""

from collections.abc import Mapping
from typing import Any

from .config import OF_PICTURES, TrainConfig, levels_of, refuse_of_pictures
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

# For arrays that are no pictures.
ARRAY_PRESETS: dict[str, dict[str, Any]] = {
    "arrays": {
        **OF_PICTURES,
        "batch_size": 128,
        "train_steps": 10_000,
        "learning_rate": 1e-3,
        "warm_up_steps": 200,
        "ema_half_life_images": 50_000,
        "widths": (64, 128, 128),
        "blocks": 2,
        "patch_size": 1,
        "checkpoint_every_steps": 1000,
        "preview_every_steps": 1000,
        "log_every_steps": 100,
    },
}

# For an autoencoder, whose latents another run learns.
AUTOENCODER_PRESETS: dict[str, dict[str, Any]] = {
    "autoencoder": {
        "task": "autoencoder",
        "factor": 4,
        "latent_channels": 4,
        "image_size": 64,
        "batch_size": 16,
        "train_steps": 20_000,
        "learning_rate": 1e-3,
        "warm_up_steps": 200,
        "ema_half_life_images": 20_000,
        "blocks": 1,
        "patch_size": 1,
        "checkpoint_every_steps": 1000,
        "preview_every_steps": 1000,
        "log_every_steps": 100,
    },
}
# Of its levels, as many as its factor needs.
_AUTOENCODER_WIDTHS = (32, 64, 128, 128)

# For latents.
LATENT_PRESETS: dict[str, dict[str, Any]] = {
    "latents": {
        "batch_size": 64,
        "train_steps": 50_000,
        "learning_rate": 1e-3,
        "warm_up_steps": 500,
        "ema_half_life_images": 50_000,
        "widths": (64, 128, 128),
        "blocks": 2,
        "patch_size": 1,
        "checkpoint_every_steps": 1000,
        "preview_every_steps": 2000,
        "log_every_steps": 100,
    },
}
# What a network of latents has from the run of its autoencoder.
_OF_AUTOENCODER = ("image_size", "channels", "levels", "fit")

ALL_PRESETS = {**PRESETS, **ARRAY_PRESETS, **AUTOENCODER_PRESETS, **LATENT_PRESETS}

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
    check_choice("preset", preset, (*ALL_PRESETS,))
    changes = {name: value for name, value in settings.items() if value is not None}
    data = str(changes.get("data", _COMMON["data"]))
    if data.startswith("npz:") != (preset in ARRAY_PRESETS):
        problem = "is for data=npz:FILE" if preset in ARRAY_PRESETS else "is for pictures"
        raise InputError(f"preset={preset}: {problem}, and data={data}; leave the preset out")
    if preset in ARRAY_PRESETS and (given := changes.keys() & OF_PICTURES):
        name = min(given)
        refuse_of_pictures(name, changes[name], data)
    _check_kind(preset, changes)
    for name in ("max_signal_rate", "min_signal_rate"):
        if name in changes and changes.get("schedule", "cosine") != "cosine":
            problem = f"only the cosine schedule has it, not {changes['schedule']}; leave it out"
            raise InputError(f"{name}={changes[name]}: {problem}")
    defaults = {**_COMMON, **ALL_PRESETS[preset], **_SPLITS.get(data, {})}
    if preset in AUTOENCODER_PRESETS:
        levels = levels_of(changes.get("factor", defaults["factor"]))
        defaults["widths"] = _AUTOENCODER_WIDTHS[:levels]
    if changes.get("task", "super_resolution") not in ("super_resolution", "autoencoder"):
        defaults.pop("factor", None)
    return TrainConfig(preset=preset, **{**defaults, **changes})


def _check_kind(preset: str, changes: Mapping[str, Any]) -> None:
    """Raise InputError for a preset of another kind of network."""
    latents, of_latents = changes.get("latents"), preset in LATENT_PRESETS
    task = changes.get("task", ALL_PRESETS[preset].get("task", "generation"))
    if latents is None and of_latents:
        problem = "is for the latents of an autoencoder"
        raise InputError(f"preset={preset}: {problem}; give latents too, or leave it out")
    if latents is not None and not of_latents:
        raise InputError(f"preset={preset}: is not for latents={latents}; leave it out")
    if latents is None and (task == "autoencoder") != (preset in AUTOENCODER_PRESETS):
        raise InputError(f"preset={preset}: is not for task={task}; leave it out")


def latent_config(preset: str, autoencoder: TrainConfig, **settings: Any) -> TrainConfig:
    """The configuration of a network of an autoencoder's latents, changed by the `settings`.

    Those that are None change nothing. Raises InputError for other settings of the pictures than
    the autoencoder has, and for wrong ones.
    """
    if str(settings.get("data") or "").startswith("npz:"):
        problem = "holds no pictures, which the autoencoder takes; give others"
        raise InputError(f"data={settings['data']}: {problem}")
    side, channels = autoencoder.image_size // (autoencoder.factor or 1), autoencoder.channels or 3
    own = {name: getattr(autoencoder, name) for name in _OF_AUTOENCODER} | {"channels": channels}
    for name, value in own.items():
        if settings.get(name) not in (None, value):
            has = f"the pictures of the autoencoder have {_shown(value)}"
            problem = "the autoencoder was trained without it" if value is None else has
            raise InputError(f"{name}={_shown(settings[name])}: {problem}; leave it out")
    own["array_shape"] = side, side, autoencoder.latent_channels
    augment = "flip" if autoencoder.flips else "none"
    own["augment"] = settings.get("augment") or augment
    return preset_config(preset, **{**settings, **own})


def _shown(value: object) -> object:
    """A setting as it is written in a flag."""
    return ",".join(f"{each:g}" for each in value) if isinstance(value, tuple) else value


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
