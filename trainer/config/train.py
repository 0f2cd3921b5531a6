"""The settings of a training run: their checks, JSON, and which may change."""

import itertools
import math
import re
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Any

from ..errors import InputError
from . import choices
from .arrays import OF_PICTURES, check_arrays
from .choices import (
    check_levels,
    check_settings,
    check_signal_rates,
    label_pattern,
    require,
    setting,
)
from .conditions import ConditionSpec
from .distillation import check_distillation
from .latents import check_latents
from .network import NetworkConfig

_DATA_EXPECTED = (
    "tfds:NAME, folder:PATH, npz:FILE, synthetic or synthetic:COUNT with a COUNT of 8 or more"
)
# The kinds of data that a setting is for.
_KINDS = {
    "data_dir": ("tfds",),
    "split": ("tfds",),
    "eval_split": ("tfds", "folder", "npz"),
    "image_feature": ("tfds",),
    "label_feature": ("tfds",),
    "labels": ("folder",),
}
# Runs without these, and the bundles of such runs, have the records that they had before them.
_NEWER = (
    *("task", "factor", "picture_size"),
    *("distill_from", "student_steps", "teacher_steps", "guidance_range"),
    *("array_shape", "latent_channels", "latents"),
)


def _holds_out(eval_split: str, kind: str) -> bool:
    """Whether a folder or file may hold this out: a share in (0 %, 100 %), or another one."""
    if eval_split.startswith(f"{kind}:"):
        return eval_split != f"{kind}:"
    share = re.fullmatch(r"(\d+(?:\.\d+)?)%", eval_split, re.ASCII)
    return share is not None and 0 < float(share[1]) < 100


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The settings of a run; `diffkiln-train --help` says what each one does.

    A default is what older versions did before the setting existed, so it must never change:
    `from_json` relies on it. Raises InputError, which names the setting and what it may be.
    """

    preset: str
    task: str = setting("generation", choices=choices.TASKS)
    factor: int | None = None
    latent_channels: int | None = None
    latents: str | None = setting(None, changeable=True)
    data: str
    array_shape: tuple[int, ...] | None = None
    data_dir: str | None = setting(changeable=True)
    split: str | None
    eval_split: str | None
    image_feature: str | None = None
    label_feature: str | None = None
    labels: str | None = None
    cache: str | None = setting(None, choices=choices.CACHES, changeable=True)
    image_size: int = setting(bounds=(8, choices.MAX_SIDE))
    channels: int | None = None
    levels: tuple[float, float] | None = None
    fit: str = setting("crop", choices=choices.FITS)
    augment: str = setting("flip", choices=choices.AUGMENTATIONS)
    picture_size: int | None = setting(None, bounds=(8, 4 * choices.MAX_SIDE))
    batch_size: int = setting(bounds=(1, 65536))
    train_steps: int = setting(bounds=(1, 10**9), changeable=True)
    accumulation_steps: int = setting(1, bounds=(1, 65536), changeable=True)
    learning_rate: float
    learning_rate_decay: str = setting("constant", choices=choices.LEARNING_RATE_DECAYS)
    warm_up_steps: int = setting(bounds=(0, 10**9))
    weight_decay: float = 0.0
    gradient_clip_norm: float = 1.0
    dropout: float = 0.0
    loss_weighting: str = setting("uniform", choices=choices.LOSS_WEIGHTINGS)
    time_sampling: str = setting("uniform", choices=choices.TIME_SAMPLINGS)
    ema_half_life_images: int = setting(bounds=(1, 10**12))
    precision: str = setting(choices=choices.PRECISIONS)
    jit_compile: bool | None
    schedule: str = setting(choices=choices.SCHEDULES)
    max_signal_rate: float
    min_signal_rate: float
    prediction: str = setting(choices=choices.PREDICTIONS)
    seed: int = setting(bounds=(0, 2**31 - 1))
    widths: tuple[int, ...]
    blocks: int
    patch_size: int
    attention_heads: int = 0
    num_classes: int | None = None
    label_dropout: float = 0.1
    init_from: str | None = None
    distill_from: str | None = setting(None, changeable=True)
    student_steps: tuple[int, ...] = ()
    teacher_steps: int | None = setting(
        None, bounds=(choices.FEWEST_TABLE_STEPS, choices.MOST_TABLE_STEPS)
    )
    guidance_range: tuple[float, float] | None = None
    keep_checkpoints: int = setting(3, bounds=(1, 10**6), changeable=True)
    checkpoint_every_steps: int = setting(bounds=(1, 10**9), changeable=True)
    preview_every_steps: int = setting(bounds=(1, 10**9), changeable=True)
    log_every_steps: int = setting(bounds=(1, 10**9), changeable=True)
    distribute: str = setting("none", choices=choices.DISTRIBUTIONS, changeable=True)
    worker_timeout_s: float = setting(300.0, changeable=True)
    kid_every_steps: int | None = setting(None, bounds=(1, 10**9), changeable=True)
    kid_images: int = setting(512, bounds=(2, 10**6), changeable=True)
    kid_weights: str | None = setting(None, changeable=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        object.__setattr__(self, "student_steps", tuple(self.student_steps))
        for name in ("levels", "guidance_range", "array_shape"):
            if (numbers := getattr(self, name)) is not None:
                object.__setattr__(self, name, tuple(numbers))
        check_levels(self.levels)
        check_settings(self)
        self._check_numbers()
        check_signal_rates(self.max_signal_rate, self.min_signal_rate)
        check_latents(self)
        self._check_data()
        check_distillation(self)
        _ = self.network

    def _check_numbers(self) -> None:
        decay, warm_up, last = self.learning_rate_decay, self.warm_up_steps, self.train_steps
        timeout_s = self.worker_timeout_s
        at_end = f"less than train_steps={last}, over which learning_rate_decay=cosine falls to 0"
        at_start = "at least 1, since learning_rate_decay=inverse_sqrt begins after the warm-up"
        parts = self.accumulation_steps
        divisor = f"a divisor of batch_size={self.batch_size}"
        for name, holds, expected in (
            ("accumulation_steps", self.batch_size % parts == 0, divisor),
            ("worker_timeout_s", 0 < timeout_s < math.inf, "a number of seconds above 0"),
            ("dropout", 0 <= self.dropout < 1, "a number in [0, 1)"),
            ("label_dropout", 0 <= self.label_dropout < 1, "a number in [0, 1)"),
            ("learning_rate", 0 < self.learning_rate <= 1, "a number in (0, 1]"),
            ("weight_decay", 0 <= self.weight_decay < 1, "a number in [0, 1)"),
            ("gradient_clip_norm", 0 < self.gradient_clip_norm < math.inf, "a number above 0"),
            ("warm_up_steps", decay != "inverse_sqrt" or warm_up > 0, at_start),
            ("warm_up_steps", decay != "cosine" or warm_up < last, at_end),
        ):
            require(holds, f"{name}={getattr(self, name)}: expected {expected}")
        size = self.picture_size
        remedy = "only crops are cut out of it; give augment=crop or crop+flip, or leave it out"
        require(size is None or "crop" in self.augment, f"picture_size={size}: {remedy}")
        expected = f"expected at least image_size={self.image_size}"
        require((size or self.image_size) >= self.image_size, f"picture_size={size}: {expected}")
        grey = f"channels={self.channels}: expected 1 for grey or 3 for colours"
        require(self.channels in (None, 1, 3), grey)
        weights, read = self.kid_weights, self.kid_every_steps is not None
        require(weights != "", "kid_weights=: empty; give a file or leave it out")
        remedy = "only KID reads them; give kid_every_steps too, or leave both out"
        require(weights is None or read, f"kid_weights={weights}: {remedy}")

    def _check_data(self) -> None:
        kind, _, name = self.data.partition(":")
        if kind == "synthetic":
            valid = self.data == kind or (name.isdecimal() and int(name) >= 8)
        elif self.distill_from is not None:
            valid = self.data == "seeds"
        else:
            valid = kind in ("tfds", "folder", "npz") and bool(name)
        require(valid, f"data={self.data}: expected {_DATA_EXPECTED}")
        check_arrays(self)
        for name, kinds in _KINDS.items():
            value = getattr(self, name)
            require(value != "", f"{name}=: empty; give a value or leave it out")
            has = " and ".join(f"{each}:" for each in kinds[-2:])
            has = ", ".join((*(f"{each}:" for each in kinds[:-2]), has))
            problem = f"only {has} data has it, and data={self.data}; leave it out"
            require(kind in kinds or value is None, f"{name}={value}: {problem}")
        square = "the synthetic flowers are square; leave it out"
        require(kind != "synthetic" or self.fit == "crop", f"fit={self.fit}: {square}")
        if kind in ("folder", "npz") and self.eval_split:
            other = "pictures such as 10%, or folder:PATH"
            other = other if kind == "folder" else "samples such as 10%, or npz:FILE"
            problem = f"eval_split={self.eval_split}: expected a share of the {other}"
            require(_holds_out(self.eval_split, kind), problem)
        remedy = "only num_classes uses it; give num_classes too, or leave both out"
        for name in ("label_feature", "labels"):
            value = getattr(self, name)
            require(value is None or self.num_classes is not None, f"{name}={value}: {remedy}")
        _ = label_pattern(self.labels or "")
        problem = f"data={self.data} cannot be read in any order; expected memory or disk"
        unordered = self.cache == "none" and kind not in ("folder", "seeds")
        require(not unordered, f"cache=none: {problem}; leave it out")

    @property
    def of_arrays(self) -> bool:
        """Whether the data are arrays that are no pictures."""
        return self.array_shape is not None and self.latents is None

    @property
    def pictures(self) -> "TrainConfig":
        """These settings, or those by which the pictures of latents are read."""
        if self.latents is None:
            return self
        network = {"widths": (1,), "patch_size": 1, "attention_heads": 0}
        return replace(self, latents=None, array_shape=None, **network)

    @property
    def samples(self) -> str:
        """What the network learns to draw, in a word for a reader."""
        return "samples" if self.of_arrays else "images"

    @property
    def flips(self) -> bool:
        """Whether half of the pictures are mirrored."""
        return "flip" in self.augment

    @property
    def stored_shape(self) -> tuple[int, int, int]:
        """The shape of a decoded picture: larger than the images where these are crops of it."""
        crops = "crop" in self.augment
        side = round(self.image_size / choices.LEAST_CROP) if crops else self.image_size
        side = self.picture_size or side
        return side, side, self.channels or 3

    @property
    def network(self) -> NetworkConfig:
        """The shape of the network."""
        shape = (self.image_size, self.widths, self.blocks, self.patch_size)
        channels, heads, classes = self.channels or 3, self.attention_heads, self.num_classes
        return NetworkConfig(
            *shape,
            channels=channels,
            attention_heads=heads,
            num_classes=classes,
            task=self.task,
            factor=self.factor,
            guidance_range=self.guidance_range,
            array_shape=self.array_shape,
            latent_channels=self.latent_channels,
            # What is enlarged is near the image, and far from its velocity and its noise.
            residual=self.task == "super_resolution" and self.prediction == "image",
        )

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """The network's inputs after noisy images, times and labels, in order."""
        return self.network.conditions

    def to_json(self) -> dict[str, Any]:
        """The settings as plain JSON values, without newer ones that are at their default.

        The record of a run on arrays has no settings of pictures.
        """
        newer = {each.name: each.default for each in fields(self) if each.name in _NEWER}
        left_out = {**newer, **OF_PICTURES} if self.of_arrays else newer
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in left_out or value != left_out[name]
        }

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> "TrainConfig":
        """The settings that `to_json` wrote, in this version or an older one.

        Raises InputError for unknown names, and for missing ones that have no default.
        """
        if settings.get("array_shape") is not None:
            settings = {**OF_PICTURES, **settings}
        defaults = {each.name: each.default for each in fields(cls)}
        required = {name for name, default in defaults.items() if default is MISSING}
        unknown, missing = sorted(settings.keys() - defaults), sorted(required - settings.keys())
        if unknown or missing:
            problem = f"unknown settings {unknown}, missing settings {missing}"
            raise InputError(f"{problem}: expected the settings of this version of diffkiln")
        return cls(**settings)

    def differences(self, other: "TrainConfig") -> list[str]:
        """The settings that keep a run from going on as `other`, as `name: ours, not theirs`."""
        mine, theirs = asdict(self), asdict(other)
        mine["channels"] = mine["channels"] or 3
        theirs["channels"] = theirs["channels"] or mine["channels"]
        for name, kind in itertools.product(("data", "eval_split"), ("folder:", "npz:")):
            if all((settings[name] or "").startswith(kind) for settings in (mine, theirs)):
                # Data may have moved: its fingerprint says whether it is the same.
                theirs[name] = mine[name]
        if all(each and not label_pattern(each) for each in (self.labels, other.labels)):
            theirs["labels"] = mine["labels"]
        changeable = {each.name for each in fields(self) if each.metadata.get("changeable")}
        if self.learning_rate_decay == "cosine":
            # A cosine ends at the last step: another last step means other learning rates.
            changeable.remove("train_steps")
        return [
            f"{name}: {mine[name]}, not {theirs[name]}"
            for name in mine
            if name not in changeable and mine[name] != theirs[name]
        ]
