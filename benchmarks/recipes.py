"""What each choice of the recipe is worth: short runs that differ in one flag, by one measure.

    python benchmarks/recipes.py --steps=1200

All runs cost the same multiply-adds: a larger network or batch gets fewer steps. Runs that differ
only in the recipe see the same images and noise in the same order. The measure is the velocity
error of the averaged network on held-out images and stratified times, whatever the network
predicts. A second seed shows what is chance.
"""

import statistics
from dataclasses import replace
from typing import Any

import keras
from absl import app, flags
from held_out import velocity_error

from diffkiln.trainer.config import LOSS_WEIGHTINGS, PRECISIONS, PREDICTIONS, TrainConfig
from diffkiln.trainer.data.batches import batches
from diffkiln.trainer.data.load import ImageData, load_images
from diffkiln.trainer.network.size import multiply_adds
from diffkiln.trainer.network.unet import build_unet
from diffkiln.trainer.presets import PRESETS, preset_config
from diffkiln.trainer.training.step import Trainer

FLAGS = flags.FLAGS
flags.DEFINE_enum("preset", "tiny", list(PRESETS), "network and recipe to start from")
flags.DEFINE_string("data", "synthetic", "what to train on")
flags.DEFINE_string("data_dir", None, "folder of the prepared data set for data=tfds:NAME")
flags.DEFINE_enum("precision", "float32", PRECISIONS, "what layers compute in")
flags.DEFINE_enum("prediction", "velocity", PREDICTIONS, "prediction of the unchanged run")
flags.DEFINE_enum("loss_weighting", "uniform", LOSS_WEIGHTINGS, "weighting of the unchanged run")
flags.DEFINE_integer("steps", 1200, "steps of the unchanged run", lower_bound=1)
flags.DEFINE_bool("networks", False, "compare networks, batches and rates instead of the recipe")
flags.DEFINE_list("choices", None, "run only these choices")
flags.DEFINE_list("seeds", ["0", "1"], "seeds, one run of each choice for each")

# Not a setting: the share of the multiply-adds for a first run on pictures of half the size.
SMALL_FIRST = "small_first"

RECIPES: dict[str, dict[str, Any]] = {
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


def networks(config: TrainConfig) -> dict[str, dict[str, Any]]:
    """Changes of the network, batch and rates of a run."""
    return {
        "a third narrower": {"widths": tuple(width * 2 // 3 for width in config.widths)},
        "a third wider": {"widths": tuple(width * 4 // 3 for width in config.widths)},
        "one block more": {"blocks": config.blocks + 1},
        "one level less": {"widths": config.widths[:-1]},
        "patches half as large": {"patch_size": config.patch_size // 2},
        "patches twice as large": {"patch_size": config.patch_size * 2},
        "batch of half": {"batch_size": config.batch_size // 2},
        "batch of twice": {"batch_size": config.batch_size * 2},
        "half the learning rate": {"learning_rate": config.learning_rate / 2},
        "twice the learning rate": {"learning_rate": config.learning_rate * 2},
        "attention": {"attention_heads": 4},
        "half the work on half the size first": {SMALL_FIRST: 0.5},
        "half the EMA half-life": {"ema_half_life_images": config.ema_half_life_images // 2},
        "stratified times": {"time_sampling": "stratified"},
    }


def cost(config: TrainConfig) -> int:
    """Multiply-adds of a step forward."""
    return multiply_adds(build_unet(config.network)) * config.batch_size


def trained(config: TrainConfig, images: ImageData, small_share: float = 0.0) -> Trainer:
    """A run; a first run on pictures of half the size takes `small_share` of its multiply-adds."""
    weights = None
    if small_share:
        small = replace(config, image_size=config.image_size // 2)
        steps = round(small_share * config.train_steps * cost(config) / cost(small))
        small = replace(small, train_steps=steps)
        weights = trained(small, load_images(small)).network.get_weights()
        config = replace(config, train_steps=round((1 - small_share) * config.train_steps))
    keras.utils.set_random_seed(config.seed)
    trainer = Trainer(config, images.summary())
    if weights is not None:
        trainer.begin_with(weights)
    data = batches(images.train, config, first_step=0)
    for _ in range(config.train_steps):
        trainer.train(*next(data))
    return trainer


def main(_: list[str]) -> None:
    images: dict[int, ImageData] = {}
    seeds = [int(seed) for seed in FLAGS.seeds]
    print(f"{FLAGS.preset} on {FLAGS.data}, {FLAGS.steps:,} steps: error of v, held out")
    names = ("data", "data_dir", "precision", "prediction", "loss_weighting")
    start = preset_config(
        FLAGS.preset,
        train_steps=FLAGS.steps,
        **{name: FLAGS[name].value for name in names},
    )
    choices = {"as it is": {}, **(networks(start) if FLAGS.networks else RECIPES)}
    if unknown := set(FLAGS.choices or ()) - set(choices):
        raise app.UsageError(f"--choices={','.join(unknown)}: expected of {', '.join(choices)}")
    for name in FLAGS.choices or choices:
        settings = dict(choices[name])
        small_share = settings.pop(SMALL_FIRST, 0.0)
        changed = replace(start, **settings)
        steps = max(1, round(FLAGS.steps * cost(start) / cost(changed)))
        errors = []
        for seed in seeds:
            config = replace(changed, seed=seed, train_steps=steps)
            if seed not in images:
                images[seed] = load_images(config)
            trainer = trained(config, images[seed], small_share)
            errors.append(velocity_error(trainer.denoiser, images[seed].evaluation[0]))
        each = " ".join(f"{error:.4f}" for error in errors)
        print(f"  {name:40} {statistics.mean(errors):.4f}   ({each})  {steps:,} steps", flush=True)


if __name__ == "__main__":
    app.run(main)
