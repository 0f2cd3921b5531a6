"""The settings of a training run: their checks, their JSON, and which of them may change."""

import math
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from ..errors import InputError, check_choice
from .checks import check_integer, check_integers, check_signal_rates, require
from .choices import (
    CACHES,
    DISTRIBUTIONS,
    LEARNING_RATE_DECAYS,
    LOSS_WEIGHTINGS,
    PRECISIONS,
    PREDICTIONS,
    SCHEDULES,
    TIME_SAMPLINGS,
)
from .network import NetworkConfig

_CHOICES = {
    "precision": PRECISIONS,
    "schedule": SCHEDULES,
    "prediction": PREDICTIONS,
    "loss_weighting": LOSS_WEIGHTINGS,
    "time_sampling": TIME_SAMPLINGS,
    "distribute": DISTRIBUTIONS,
    "learning_rate_decay": LEARNING_RATE_DECAYS,
}
_BOUNDS = {
    "batch_size": (1, 65536),
    "train_steps": (1, 10**9),
    "warm_up_steps": (0, 10**9),
    "ema_half_life_images": (1, 10**12),
    "seed": (0, 2**31 - 1),
    "checkpoint_every_steps": (1, 10**9),
    "preview_every_steps": (1, 10**9),
    "log_every_steps": (1, 10**9),
    "keep_checkpoints": (1, 10**6),
    "kid_images": (2, 10**6),
    "image_size": (8, 4096),
}
# Settings that may differ when a run goes on: none of them changes what a step computes.
_CHANGEABLE = {
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
_DATA_EXPECTED = "tfds:NAME, folder:PATH, synthetic or synthetic:COUNT with a COUNT of 8 or more"


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The settings of a run; `diffkiln-train --help` says what each one does.

    A default is what older versions did before the setting existed, so it must never change:
    `from_json` relies on it. Raises InputError, which names the setting, its value and what was
    expected.
    """

    preset: str
    data: str
    data_dir: str | None
    split: str | None
    eval_split: str | None
    cache: str | None = None
    image_size: int
    batch_size: int
    train_steps: int
    learning_rate: float
    learning_rate_decay: str = "constant"
    warm_up_steps: int
    weight_decay: float = 0.0
    gradient_clip_norm: float = 1.0
    loss_weighting: str = "uniform"
    time_sampling: str = "uniform"
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
    attention_heads: int = 0
    num_classes: int | None = None
    label_dropout: float = 0.1
    init_from: str | None = None
    keep_checkpoints: int = 3
    checkpoint_every_steps: int
    preview_every_steps: int
    log_every_steps: int
    distribute: str = "none"
    worker_timeout_s: float = 300.0
    kid_every_steps: int | None = None
    kid_images: int = 512
    kid_weights: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        check_integers(self, _BOUNDS)
        self._check_numbers()
        self._check_kid()
        self._check_learning_rate_decay()
        check_signal_rates(self.max_signal_rate, self.min_signal_rate)
        self._check_data()
        self._check_cache()
        _ = self.network

    def _check_numbers(self) -> None:
        for name, holds, expected in (
            ("worker_timeout_s", 0 < self.worker_timeout_s < math.inf, "of seconds above 0"),
            ("label_dropout", 0 <= self.label_dropout < 1, "in [0, 1)"),
            ("learning_rate", 0 < self.learning_rate <= 1, "in (0, 1]"),
            ("weight_decay", 0 <= self.weight_decay < 1, "in [0, 1)"),
            ("gradient_clip_norm", 0 < self.gradient_clip_norm < math.inf, "above 0"),
        ):
            require(holds, f"{name}={getattr(self, name)}: expected a number {expected}")

    def _check_kid(self) -> None:
        require(self.kid_weights != "", "kid_weights=: empty; give a file or leave it out")
        if self.kid_every_steps is not None:
            check_integer("kid_every_steps", self.kid_every_steps, 1, 10**9)
        require(
            self.kid_every_steps is not None or self.kid_weights is None,
            f"kid_weights={self.kid_weights}: only KID reads them; expected kid_every_steps too; "
            "give that, or leave both out",
        )

    def _check_learning_rate_decay(self) -> None:
        require(
            self.learning_rate_decay != "inverse_sqrt" or self.warm_up_steps > 0,
            "warm_up_steps=0: learning_rate_decay=inverse_sqrt begins where the warm-up ends; "
            "expected at least 1",
        )
        require(
            self.learning_rate_decay != "cosine" or self.warm_up_steps < self.train_steps,
            f"warm_up_steps={self.warm_up_steps}: expected less than train_steps="
            f"{self.train_steps}, over which learning_rate_decay=cosine falls to 0",
        )

    def _check_data(self) -> None:
        kind, _, name = self.data.partition(":")
        if kind == "synthetic":
            valid = self.data == kind or (name.isdecimal() and int(name) >= 8)
        else:
            valid = kind in ("tfds", "folder") and bool(name)
        require(valid, f"data={self.data}: expected {_DATA_EXPECTED}")
        for setting in ("data_dir", "split", "eval_split"):
            value = getattr(self, setting)
            require(
                kind == "tfds" or value is None,
                f"{setting}={value}: only tfds: data has it, and data={self.data}; leave it out",
            )
            require(value != "", f"{setting}=: empty; give a value or leave it out")

    def _check_cache(self) -> None:
        if self.cache is not None:
            check_choice("cache", self.cache, CACHES)
        require(
            self.cache != "none" or self.data.startswith("folder:"),
            f"cache=none: data={self.data} cannot be read in any order; expected memory or disk; "
            "leave it out",
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
        """The settings that `to_json` wrote, in this version or an older one.

        Settings that older versions lacked get their defaults. Raises InputError for unknown names
        and for other missing ones.
        """
        names = {field.name for field in fields(cls)}
        required = {field.name for field in fields(cls) if field.default is MISSING}
        unknown, missing = sorted(settings.keys() - names), sorted(required - settings.keys())
        if unknown or missing:
            raise InputError(
                f"unknown settings {unknown}, missing settings {missing}: "
                "expected the settings of this version of diffkiln"
            )
        return cls(**settings)

    def differences(self, other: "TrainConfig") -> list[str]:
        """The settings that keep a run from going on as `other`, as `name: ours, not theirs`."""
        mine, theirs = asdict(self), asdict(other)
        if mine["data"].startswith("folder:") and theirs["data"].startswith("folder:"):
            # A folder may have moved: its fingerprint says whether it is the same one.
            theirs["data"] = mine["data"]
        changeable = set(_CHANGEABLE)
        if self.learning_rate_decay == "cosine":
            # A cosine ends at the last step: another last step means other learning rates.
            changeable.remove("train_steps")
        return [
            f"{name}: {mine[name]}, not {theirs[name]}"
            for name in mine
            if name not in changeable and mine[name] != theirs[name]
        ]
