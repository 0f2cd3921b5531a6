"""The conditions of a batch by task, made from its own pictures and from random numbers.

The random numbers depend on the seed and the step alone, so a step is the same whenever it runs.
"""

from collections.abc import Sequence
from dataclasses import replace

import tensorflow as tf

from ..config import TrainConfig
from ..maths.diffusion import Denoiser
from ..streams import named_seed
from .masks import random_masks
from .small import augmented, reduced


def training_draws(config: TrainConfig, step: tf.Tensor) -> list[tf.Tensor]:
    """The random numbers of a step's whole batch, for `conditions`; none for `generation`.

    For super-resolution these are the levels of the added noise float32 [B], squares of uniform
    numbers, so that half of them are below a quarter, and the noise. For inpainting they are masks.
    """
    count, seed = config.batch_size, config.seed
    if config.task == "super_resolution":
        shape = [count, *config.conditions[0].shape]
        levels = tf.random.stateless_uniform([count], named_seed(seed, "augmentation", step))
        noise = tf.random.stateless_normal(shape, named_seed(seed, "augmentation noise", step))
        return [tf.square(levels), noise]
    if config.task == "inpainting":
        return [random_masks(count, config.image_size, named_seed(seed, "mask", step))]
    return []


def held_out_draws(config: TrainConfig, count: tf.Tensor, number: tf.Tensor) -> list[tf.Tensor]:
    """The same for `count` held-out pictures, batch `number`: no noise, and every run's masks."""
    if config.task == "super_resolution":
        return [tf.zeros([count]), tf.zeros([count, *config.conditions[0].shape])]
    if config.task == "inpainting":
        return [random_masks(count, config.image_size, named_seed(0, "held-out mask", number))]
    return []


def conditions(
    config: TrainConfig, denoiser: Denoiser, images: tf.Tensor, draws: Sequence[tf.Tensor]
) -> list[tf.Tensor]:
    """The network's conditions, as `config.conditions` lists them, of images uint8 [N, S, S, C].

    `draws` are the rows of these images in what `training_draws` or `held_out_draws` returned.
    """
    if config.task == "super_resolution":
        levels, noise = draws
        small = denoiser.normalise(reduced(images, config.factor or 1) / 255)
        return [augmented(small, noise, levels), levels]
    if config.task == "inpainting":
        (masks,) = draws
        image = denoiser.normalise(tf.cast(images, tf.float32) / 255)
        return [image * (1.0 - masks), masks]
    return []


def conditioned(denoiser: Denoiser, given: Sequence[tf.Tensor]) -> Denoiser:
    """The denoiser of pictures that have these conditions; for classes without guidance only."""
    return replace(denoiser, network=lambda inputs: denoiser.network([*inputs, *given]))
