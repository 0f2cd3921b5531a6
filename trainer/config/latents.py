"""The settings of latent models: of an autoencoder, and of a network that learns its latents."""

from typing import TYPE_CHECKING, Any

from .choices import check_array_shape, require

if TYPE_CHECKING:
    from .train import TrainConfig

# Sides of a latent's block of pixels: an encoder halves the image one to three times.
FACTORS = (2, 4, 8)
# What an autoencoder has no use for. It has no noise levels, classes or samples.
_NOT_OF_AUTOENCODER: dict[str, Any] = {
    "num_classes": None,
    "label_dropout": 0.1,
    "schedule": "cosine",
    "max_signal_rate": 0.95,
    "min_signal_rate": 0.02,
    "prediction": "velocity",
    "loss_weighting": "uniform",
    "time_sampling": "uniform",
    "dropout": 0.0,
    "attention_heads": 0,
    "patch_size": 1,
    "guidance_range": None,
    "kid_every_steps": None,
    "kid_images": 512,
    "kid_weights": None,
}
# What a network of latents has no use for.
_NOT_OF_LATENTS: dict[str, Any] = {
    "task": "generation",
    "picture_size": None,
    "distill_from": None,
    "kid_every_steps": None,
    "kid_images": 512,
    "kid_weights": None,
}


def check_latents(config: "TrainConfig") -> None:
    """Check the settings of an autoencoder or of a network of latents; others have neither."""
    if config.task == "autoencoder":
        for name, neutral in _NOT_OF_AUTOENCODER.items():
            value, problem = getattr(config, name), "an autoencoder has no such setting"
            require(value == neutral, f"{name}={_shown(value)}: {problem}; leave it out")
    if config.latents is None:
        return
    for name, neutral in _NOT_OF_LATENTS.items():
        value, problem = getattr(config, name), "a network of latents has no such setting"
        require(value == neutral, f"{name}={_shown(value)}: {problem}; leave it out")
    problem = "whole images become latents, once, at the start; expected flip or none"
    require("crop" not in config.augment, f"augment={config.augment}: {problem}")
    expected = "expected the shape of a latent of the autoencoder, such as (16, 16, 4); give it"
    require(config.array_shape is not None, f"array_shape=None: {expected}")
    check_array_shape(config.array_shape or ())


def _shown(value: object) -> object:
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


def check_autoencoder(task: str, factor: int | None, channels: int | None, levels: int) -> None:
    """Check the latents that an autoencoder makes: their size, their channels, and its levels."""
    if task != "autoencoder":
        problem = f"only task=autoencoder has it, not {task}; leave it out"
        require(channels is None, f"latent_channels={channels}: {problem}")
        return
    listed = ", ".join(map(str, FACTORS))
    expected = f"task=autoencoder: expected one of {listed}, by which it shrinks pictures"
    require(factor in FACTORS, f"factor={factor}: {expected}")
    missing = "task=autoencoder: needs latent_channels, such as 4; give them too"
    require(channels is not None, missing)
    expected = f"expected {levels_of(factor)}, since factor={factor}"
    remedy = "each level after the first has half the size; give as many, or leave them out"
    require(levels == levels_of(factor), f"widths: {levels} of them; {expected}; {remedy}")


def levels_of(factor: int | None) -> int:
    """How many sizes images have in an autoencoder, from the picture's to the latent's."""
    return (factor or 1).bit_length()
