"""What each choice of the recipe is worth: short runs that differ in one flag, by one measure.

    python benchmarks/recipes.py --steps=1200

All runs of a seed see the same images and noises in the same order and cost the same, so their
numbers can be compared. The measure is the averaged network's error as velocity, on held-out
images and stratified times, whatever it was trained with. A second seed shows what is chance.
"""

import statistics
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from diffkiln.trainer.config import TrainConfig
from diffkiln.trainer.data import ImageData, batches, load_images
from diffkiln.trainer.diffusion import add_noise, split_prediction, training_target
from diffkiln.trainer.presets import PRESETS, preset_config
from diffkiln.trainer.recipe import stratified
from diffkiln.trainer.step import Trainer

FLAGS = flags.FLAGS
flags.DEFINE_enum("preset", "tiny", list(PRESETS), "network and recipe to start from")
flags.DEFINE_string("data", "synthetic", "what to train on")
flags.DEFINE_integer("steps", 1200, "steps of each run", lower_bound=1)
flags.DEFINE_list("seeds", ["0", "1"], "one run of each choice for each")

CHOICES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "prediction noise": {"prediction": "noise"},
    "prediction noise, weighed as velocity": {
        "prediction": "noise",
        "loss_weighting": "velocity",
    },
    "prediction image, weighed as velocity": {
        "prediction": "image",
        "loss_weighting": "velocity",
    },
    "min_snr": {"loss_weighting": "min_snr"},
    "stratified times": {"time_sampling": "stratified"},
    "cosine decay": {"learning_rate_decay": "cosine"},
    "inverse_sqrt decay": {"learning_rate_decay": "inverse_sqrt"},
    "weight decay 0.01": {"weight_decay": 0.01},
    "gradients not clipped": {"gradient_clip_norm": 1e6},
    "no warm-up": {"warm_up_steps": 0},
    "EMA half-life of 40,000 images": {"ema_half_life_images": 40_000},
}


def trained(config: TrainConfig, images: ImageData) -> Trainer:
    keras.utils.set_random_seed(config.seed)
    trainer = Trainer(config, images.summary())
    data = batches(images.train, config, first_step=0)
    for _ in range(config.train_steps):
        trainer.train(*next(data))
    return trainer


def velocity_error(trainer: Trainer, images: np.ndarray) -> float:
    """Mean squared error of v on all images, each at four times."""
    denoiser = trainer.denoiser
    repeated = np.repeat(images, 4, axis=0)
    image, count = denoiser.normalise(tf.cast(repeated, tf.float32) / 255), len(repeated)
    noise = tf.random.stateless_normal(repeated.shape, (7, 7))
    times = stratified(tf.fill([count], 0.5 / count))[:, None, None, None]
    signal_rate, noise_rate = denoiser.schedule.rates(times)
    rates = {"signal_rate": signal_rate, "noise_rate": noise_rate}
    noisy = add_noise(image, noise, **rates)
    output = denoiser.network([noisy, times[:, 0, 0, 0]])
    seen = split_prediction(trainer.config.prediction, output, noisy, **rates)
    made, wanted = (training_target("velocity", *pair, **rates) for pair in (seen, (image, noise)))
    return float(tf.reduce_mean(tf.square(made - wanted)))


def main(_: list[str]) -> None:
    images: dict[int, ImageData] = {}
    seeds = [int(seed) for seed in FLAGS.seeds]
    print(f"{FLAGS.preset} on {FLAGS.data}, {FLAGS.steps:,} steps: error of v, held out")
    for name, settings in CHOICES.items():
        errors = []
        for seed in seeds:
            config = preset_config(
                FLAGS.preset, data=FLAGS.data, seed=seed, train_steps=FLAGS.steps, **settings
            )
            if seed not in images:
                images[seed] = load_images(config)
            errors.append(velocity_error(trained(config, images[seed]), images[seed].evaluation[0]))
        each = " ".join(f"{error:.4f}" for error in errors)
        print(f"  {name:40} {statistics.mean(errors):.4f}   ({each})", flush=True)


if __name__ == "__main__":
    app.run(main)
