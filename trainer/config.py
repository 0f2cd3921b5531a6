"""Every setting of a training run, checked when it is made, without importing TensorFlow."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from .errors import InputError, check_choice

SCHEDULES = ("cosine", "ddpm_linear", "ddpm_cosine")
PREDICTIONS = ("noise", "velocity", "image")
CONDITIONINGS = ("time", "timestep", "noise_variance", "noise_rate", "log_snr")
SOLVERS = ("ddim", "dpmpp_2m")
TIME_GRIDS = ("linear", "linspace", "quadratic", "karras")
LOSS_WEIGHTINGS = ("uniform", "velocity", "min_snr")
TIME_SAMPLINGS = ("uniform", "stratified")
LEARNING_RATE_DECAYS = ("constant", "inverse_sqrt", "cosine")
DISTRIBUTIONS = ("none", "mirrored", "multi_worker")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
CACHES = ("memory", "disk", "none")
MIN_SIGNAL_RATE = 0.001
MOST_CLASSES = 10_000
DATA_EXPECTED = "tfds:NAME, folder:PATH, synthetic or synthetic:COUNT with a COUNT of 8 or more"
SYNTHETIC_IMAGES = 2048

# What may differ when a run goes on: none of these changes what a step computes from its weights.
CHANGEABLE = frozenset(
    {
        "train_steps",
        "data_dir",
        "cache",
        "checkpoint_every_steps",
        "preview_every_steps",
        "log_every_steps",
        "keep_checkpoints",
        "distribute",
        "worker_timeout_s",
        "kid_every_steps",
        "kid_images",
        "kid_weights",
    }
)

# What settings were before they could be chosen, for the runs of those days.
FORMERLY: dict[str, Any] = {
    "learning_rate_decay": "constant",
    "weight_decay": 0.0,
    "gradient_clip_norm": 1.0,
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
    "attention_heads": 0,
    "num_classes": None,
    "label_dropout": 0.1,
}


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of a U-Net: `widths` are channels per level, each half the size of the last.

    With `attention_heads` the lowest level has self-attention; with `num_classes` the network is
    told what to show as well.
    """

    image_size: int
    widths: tuple[int, ...]
    blocks: int
    patch_size: int
    embedding_size: int = 32
    channels: int = 3
    attention_heads: int = 0
    num_classes: int | None = None

    def __post_init__(self) -> None:
        for name in ("image_size", "blocks", "patch_size", "embedding_size", "channels"):
            _check_integer(name, getattr(self, name), least=1, most=4096)
        _check_integer("attention_heads", self.attention_heads, least=0, most=4096)
        if self.num_classes is not None:
            _check_integer("num_classes", self.num_classes, least=1, most=MOST_CLASSES)
        if not self.widths:
            raise InputError("widths=: expected at least one channel count, such as 32,64")
        for width in self.widths:
            _check_integer("widths", width, least=1, most=4096)
        if self.attention_heads and self.widths[-1] % self.attention_heads:
            raise InputError(
                f"attention_heads={self.attention_heads}: expected a divisor of {self.widths[-1]}, "
                "the width of the lowest level"
            )
        divisor = self.patch_size * 2 ** (len(self.widths) - 1)
        if self.image_size % divisor:
            raise InputError(
                f"image_size={self.image_size}: expected a multiple of {divisor}, for patch_size="
                f"{self.patch_size} and {len(self.widths)} levels; choose another size, or fewer "
                "widths"
            )

    def heads(self, level: int) -> int:
        """How many heads of attention a level has."""
        return self.attention_heads if level == len(self.widths) - 1 else 0


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run; `diffkiln-train --help` says what each one does.

    Raises InputError, naming the setting, what was received and what was expected.
    """

    preset: str
    data: str
    data_dir: str | None
    split: str | None
    eval_split: str | None
    cache: str | None
    image_size: int
    batch_size: int
    train_steps: int
    learning_rate: float
    learning_rate_decay: str
    warm_up_steps: int
    weight_decay: float
    gradient_clip_norm: float
    loss_weighting: str
    time_sampling: str
    ema_half_life_images: int
    precision: str
    jit_compile: bool | None
    schedule: str
    max_signal_rate: float
    min_signal_rate: float
    prediction: str
    seed: int
    widths: tuple[int, ...]
    blocks: int
    patch_size: int
    attention_heads: int
    num_classes: int | None
    label_dropout: float
    init_from: str | None
    keep_checkpoints: int
    checkpoint_every_steps: int
    preview_every_steps: int
    log_every_steps: int
    distribute: str
    worker_timeout_s: float
    kid_every_steps: int | None
    kid_images: int
    kid_weights: str | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("prediction", self.prediction, PREDICTIONS)
        check_choice("loss_weighting", self.loss_weighting, LOSS_WEIGHTINGS)
        check_choice("time_sampling", self.time_sampling, TIME_SAMPLINGS)
        check_choice("distribute", self.distribute, DISTRIBUTIONS)
        check_choice("learning_rate_decay", self.learning_rate_decay, LEARNING_RATE_DECAYS)
        _check_integer("batch_size", self.batch_size, least=1, most=65536)
        _check_integer("train_steps", self.train_steps, least=1, most=10**9)
        _check_integer("warm_up_steps", self.warm_up_steps, least=0, most=10**9)
        _check_integer("ema_half_life_images", self.ema_half_life_images, least=1, most=10**12)
        _check_integer("seed", self.seed, least=0, most=2**31 - 1)
        for name in ("checkpoint_every_steps", "preview_every_steps", "log_every_steps"):
            _check_integer(name, getattr(self, name), least=1, most=10**9)
        _check_integer("keep_checkpoints", self.keep_checkpoints, least=1, most=10**6)
        if not 0 < self.worker_timeout_s < math.inf:
            raise InputError(
                f"worker_timeout_s={self.worker_timeout_s}: expected a number of seconds above 0"
            )
        if not 0 <= self.label_dropout < 1:
            raise InputError(f"label_dropout={self.label_dropout}: expected a number in [0, 1)")
        self._check_kid()
        self._check_optimizer()
        check_signal_rates(self.max_signal_rate, self.min_signal_rate)
        _check_integer("image_size", self.image_size, least=8, most=4096)
        self._check_data()
        _ = self.network

    def _check_kid(self) -> None:
        _check_integer("kid_images", self.kid_images, least=2, most=10**6)
        if self.kid_weights == "":
            raise InputError("kid_weights=: empty; give a file or leave it out")
        if self.kid_every_steps is not None:
            _check_integer("kid_every_steps", self.kid_every_steps, least=1, most=10**9)
        elif self.kid_weights is not None:
            raise InputError(
                f"kid_weights={self.kid_weights}: only KID reads them; expected kid_every_steps "
                "beside it; give that, or leave both out"
            )

    def _check_optimizer(self) -> None:
        if not 0 < self.learning_rate <= 1:
            raise InputError(f"learning_rate={self.learning_rate}: expected a number in (0, 1]")
        if not 0 <= self.weight_decay < 1:
            raise InputError(f"weight_decay={self.weight_decay}: expected a number in [0, 1)")
        if not 0 < self.gradient_clip_norm < math.inf:
            raise InputError(
                f"gradient_clip_norm={self.gradient_clip_norm}: expected a number above 0"
            )
        if self.learning_rate_decay == "inverse_sqrt" and not self.warm_up_steps:
            raise InputError(
                "warm_up_steps=0: learning_rate_decay=inverse_sqrt begins where the warm-up ends; "
                "expected at least 1"
            )
        if self.learning_rate_decay == "cosine" and self.warm_up_steps >= self.train_steps:
            raise InputError(
                f"warm_up_steps={self.warm_up_steps}: expected less than train_steps="
                f"{self.train_steps}, over which learning_rate_decay=cosine falls to 0"
            )

    def _check_data(self) -> None:
        kind, _, name = self.data.partition(":")
        if kind == "synthetic":
            known = self.data == kind or (name.isdecimal() and int(name) >= 8)
        else:
            known = kind in ("tfds", "folder") and name
        if not known:
            raise InputError(f"data={self.data}: expected {DATA_EXPECTED}")
        for setting in ("data_dir", "split", "eval_split"):
            value = getattr(self, setting)
            if kind != "tfds" and value is not None:
                raise InputError(
                    f"{setting}={value}: only tfds: data has it, and data={self.data}; leave it out"
                )
            if value == "":
                raise InputError(f"{setting}=: empty; give a value or leave it out")
        if self.cache is not None:
            check_choice("cache", self.cache, CACHES)
        if self.cache == "none" and kind != "folder":
            raise InputError(
                f"cache=none: data={self.data} cannot be read in any order; expected memory or "
                "disk; leave it out"
            )

    @property
    def network(self) -> NetworkConfig:
        """The shape of the network."""
        return NetworkConfig(
            self.image_size,
            self.widths,
            self.blocks,
            self.patch_size,
            attention_heads=self.attention_heads,
            num_classes=self.num_classes,
        )

    def to_json(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> "TrainConfig":
        """The settings that `to_json` wrote; unknown and missing names raise InputError.

        Missing ones that older versions did not have are what they used to be.
        """
        settings = {**FORMERLY, **settings}
        known = {field.name for field in fields(cls)}
        if known != set(settings):
            unknown, missing = sorted(set(settings) - known), sorted(known - set(settings))
            raise InputError(
                f"unknown settings {unknown}, missing settings {missing}: "
                "expected the settings of this version of diffkiln"
            )
        return cls(**settings)

    def differences(self, other: "TrainConfig") -> list[str]:
        """What a run of `other` settings could not go on with, as `name: ours, not theirs`."""
        mine, theirs = asdict(self), asdict(other)
        if mine["data"].startswith("folder:") and theirs["data"].startswith("folder:"):
            # Its fingerprint says whether it is the same, wherever it lies now.
            theirs["data"] = mine["data"]
        # A cosine ends at the last step, so another last step would be another learning rate.
        changeable = CHANGEABLE - (
            {"train_steps"} if self.learning_rate_decay == "cosine" else set()
        )
        return [
            f"{name}: {mine[name]}, not {theirs[name]}"
            for name in mine
            if name not in changeable and mine[name] != theirs[name]
        ]


def check_signal_rates(max_signal_rate: float, min_signal_rate: float) -> None:
    """Raise InputError for ends of the cosine schedule that float32 cannot tell from 0 or 1."""
    if not MIN_SIGNAL_RATE <= min_signal_rate < max_signal_rate <= 1:
        raise InputError(
            f"min_signal_rate={min_signal_rate}, max_signal_rate={max_signal_rate}: "
            f"expected {MIN_SIGNAL_RATE} <= min_signal_rate < max_signal_rate <= 1"
        )


def _check_integer(name: str, value: int, *, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InputError(f"{name}={value}: expected a whole number from {least} to {most}")
