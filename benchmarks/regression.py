"""A super-resolution run against its own network trained by plain regression.

    python benchmarks/regression.py --run_dir=RUN --data_dir=DATA --out=regression

The network sees the run's pictures in the same order, for as many steps and under the same
optimizer. It gets no noise (0, at time 1), and learns to predict the picture from the small one
alone (SR3, arXiv 2104.07636, section 4). The same command goes on where it stopped. In the end both
are measured on the held-out pictures, beside bicubic interpolation. The last column is how far a
picture, made small again, is from the small one that it was made of.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from measures import Pictures, measures, with_error
from numpy.typing import NDArray
from tqdm import trange

from diffkiln.trainer.conditions.small import reduced
from diffkiln.trainer.conditions.tasks import conditions, held_out_draws
from diffkiln.trainer.config import TrainConfig
from diffkiln.trainer.data.augment import unchanged
from diffkiln.trainer.data.batches import batches
from diffkiln.trainer.data.load import ImageData, load_images
from diffkiln.trainer.maths.diffusion import Denoiser, to_uint8
from diffkiln.trainer.maths.schedules import make_schedule
from diffkiln.trainer.network.unet import build_unet
from diffkiln.trainer.quality.preview import save_png
from diffkiln.trainer.quality.restoration import likeness, restored
from diffkiln.trainer.run.directory import RunDirectory
from diffkiln.trainer.run.weights import load_network
from diffkiln.trainer.training.recipe import ema_decay, make_optimizer, update_ema

FLAGS = flags.FLAGS
flags.DEFINE_string("run_dir", None, "run of diffkiln-train for super_resolution", required=True)
flags.DEFINE_string("data_dir", None, "folder of the prepared data set for data=tfds:NAME")
flags.DEFINE_string("out", None, "folder for checkpoints and pictures", required=True)
_STEPS = "steps to train; by default those of the run, and 0 leaves regression out"
flags.DEFINE_integer("steps", None, _STEPS, lower_bound=0)
flags.DEFINE_enum("error", "squared", ["squared", "absolute"], "what training makes small")
flags.DEFINE_bool("imagenet", False, "measure by the features of a network for ImageNet too")

_SAVED_EVERY, _TOGETHER, _SHOWN = 500, 64, 8


class Regression:
    """The network, its average, and the step that trains them."""

    def __init__(self, config: TrainConfig, denoiser: Denoiser) -> None:
        self.config, self.denoiser = config, denoiser
        keras.utils.set_random_seed(config.seed)
        self.network, self.average = (build_unet(config.network) for _ in range(2))
        self.average.set_weights(self.network.get_weights())
        self.optimizer = make_optimizer(replace(config, precision="float32"))
        self.optimizer.build(self.network.trainable_variables)
        self.done = tf.Variable(tf.constant(0, tf.int64), trainable=False)
        self.train = tf.function(self._train, autograph=False)
        self.enlarge = tf.function(self._enlarge, autograph=False, reduce_retracing=True)

    def predicted(self, network: keras.Model, pictures: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """The normalised pictures [N, S, S, C] that a network makes of small ones."""
        count = tf.shape(pictures)[0]
        draws = held_out_draws(self.config, count, tf.constant(0, tf.int64))
        given = conditions(self.config, self.denoiser, pictures, draws)
        labels_given = [] if self.config.num_classes is None else [labels]
        nothing = tf.zeros(tf.shape(pictures))
        return network([nothing, tf.ones([count]), *labels_given, *given])

    def _train(self, pictures: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """One step; its loss, float32 []."""
        target = self.denoiser.normalise(tf.cast(pictures, tf.float32) / 255)
        variables, size = self.network.trainable_variables, self.config.batch_size
        with tf.GradientTape() as tape:
            error = self.predicted(self.network, pictures, labels) - target
            loss = tf.reduce_mean(tf.square(error) if FLAGS.error == "squared" else tf.abs(error))
        gradients = map(tf.convert_to_tensor, tape.gradient(loss, variables))
        self.optimizer.apply(list(gradients), variables)
        self.done.assign_add(1)
        half_life = self.config.ema_half_life_images
        decay = ema_decay(self.done * size, batch_size=size, half_life_images=half_life)
        update_ema(self.average.trainable_variables, variables, decay)
        return loss

    def _enlarge(self, pictures: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """What the average makes of pictures, uint8 [N, S, S, C]."""
        drawn = self.predicted(self.average, pictures, labels)
        return to_uint8(self.denoiser.pixels(drawn))


def trained(regression: Regression, images: ImageData, folder: Path) -> None:
    """Train to the end, from the newest checkpoint in the folder."""
    parts = {name: getattr(regression, name) for name in ("network", "average", "optimizer")}
    state = tf.train.Checkpoint(**parts, done=regression.done)
    manager = tf.train.CheckpointManager(state, folder, max_to_keep=1)
    manager.restore_or_initialize()
    first, last = int(regression.done), regression.config.train_steps
    data = batches(images.train, regression.config, first_step=first)
    for step in (bar := trange(first, last, initial=first, total=last, mininterval=30)):
        loss = regression.train(*next(data))
        if (step + 1) % _SAVED_EVERY == 0 or step + 1 == last:
            bar.set_postfix(loss=f"{float(loss):.4f}")
            manager.save(step + 1)


Labels = NDArray[np.int64]
Enlarge = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def ways(config: TrainConfig, regression: Regression, denoiser: Denoiser) -> dict[str, Enlarge]:
    """Functions of pictures, labels and the number of a batch, to pictures uint8 [N, S, S, C]."""
    size = (config.image_size, config.image_size)

    def bicubic(pictures: tf.Tensor, labels: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        del labels, number
        small = reduced(pictures, config.factor or 1)
        enlarged = tf.image.resize(small, size, tf.image.ResizeMethod.BICUBIC)
        return to_uint8(tf.clip_by_value(enlarged / 255, 0.0, 1.0))

    def predicted(pictures: tf.Tensor, labels: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        del number
        return regression.enlarge(pictures, labels)

    def drawn(pictures: tf.Tensor, labels: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        noise = tf.random.stateless_normal(tf.shape(pictures), tf.stack([number, 0]))
        return restored(config, denoiser, noise, pictures, labels, number)[1]

    run = tf.function(drawn, autograph=False, reduce_retracing=True)
    by_regression = {"regression": predicted} if FLAGS.steps != 0 else {}
    return {"bicubic": bicubic, **by_regression, "the run, 20 steps": run}


def enlarged(way: Enlarge, pictures: Pictures, labels: Labels) -> Pictures:
    """What a way makes of all pictures."""
    parts = []
    for number, start in enumerate(range(0, len(pictures), _TOGETHER)):
        rows = slice(start, start + _TOGETHER)
        some, theirs = (tf.constant(each[rows]) for each in (pictures, labels))
        parts.append(way(some, theirs, tf.constant(number, tf.int64)).numpy())
    return np.concatenate(parts)


def faithfulness(pictures: Pictures, originals: Pictures, factor: int) -> float:
    """The root mean square difference of both made small by area, in levels of 255."""
    small, wanted = (reduced(tf.constant(each), factor) for each in (pictures, originals))
    return float(tf.sqrt(tf.reduce_mean(tf.square(small - wanted))))


def compare(found: dict[str, Pictures], originals: Pictures, factor: int) -> None:
    """Print how like the originals, and how like photographs, each set of pictures is."""
    by = measures(originals, imagenet=FLAGS.imagenet)
    features = (f"KID, {each.features!s:>38}" for each in by)
    print(f"{'':20}{'PSNR dB':>9}{'SSIM':>8}", *features, "levels off")
    for name, pictures in found.items():
        psnr_db, ssim = likeness(pictures, originals)
        distances = (f"{with_error(each(pictures)):>43}" for each in by)
        off = faithfulness(pictures, originals, factor)
        print(f"{name:20}{psnr_db:9.2f}{ssim:8.4f}", *distances, f"{off:10.2f}", flush=True)


def main(_: list[str]) -> None:
    run = RunDirectory(Path(FLAGS.run_dir))
    config, summary = run.read_config()
    if config.task != "super_resolution":
        raise app.UsageError(f"--run_dir={FLAGS.run_dir}: its task is {config.task}")
    steps = run.read_step() if FLAGS.steps is None else FLAGS.steps
    length = steps or config.train_steps
    config = replace(config, data_dir=FLAGS.data_dir, train_steps=length, cache=None)
    images = load_images(config, run=run)
    schedule = make_schedule(config.schedule, config.max_signal_rate, config.min_signal_rate)
    denoiser = Denoiser(
        load_network(run.ema_weights, config.network),
        *(schedule, config.prediction, summary.pixel_mean, summary.pixel_std),
        num_classes=config.num_classes,
    )
    regression, out = Regression(config, denoiser), Path(FLAGS.out)
    if steps:
        trained(regression, images, out)
    out.mkdir(parents=True, exist_ok=True)
    every = np.arange(len(images.held_out))
    originals, labels = images.held_out.take(every), images.held_out.labels[every]
    originals = unchanged(originals, config)
    found = {
        name: enlarged(way, originals, labels)
        for name, way in ways(config, regression, denoiser).items()
    }
    print(f"{len(originals):,} held-out pictures, regression of {steps:,} steps")
    compare(found, originals, config.factor or 1)
    shown = [each[:_SHOWN] for each in (*found.values(), originals)]
    save_png(np.concatenate(np.concatenate(shown, axis=2)), out / "pictures.png")


if __name__ == "__main__":
    app.run(main)
