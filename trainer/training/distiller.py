"""Distillation: a student learns to draw in a few evaluations what its teacher draws in many.

The student is its teacher's network, which also takes the guidance (arXiv 2210.03142), so that a
step is one evaluation. Both begin with the same noise. The student's picture is compared with the
teacher's, in pixels and in the teacher's features, through all its steps, which are few (as for the
numbers of tables: BNS, arXiv 2403.01329); one student learns several counts of steps, as in SFD
(arXiv 2409.19681). It also learns what the guided teacher predicts at some time on its way, so that
other counts of steps draw pictures too. Nothing but seeds is needed.

Most of the work would be the teacher's, so each batch that it makes is used in several steps.
"""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from ..config import TrainConfig
from ..data.cache import Images
from ..data.load import ImageData
from ..maths.diffusion import add_noise, noise_between, to_uint8
from ..maths.guidance import Conditioning
from ..maths.plain_tables import plain_table, stretched
from ..maths.sampling import Sampling
from ..maths.schedules import Schedule
from ..maths.tables import Table, Tables
from ..quality.imitation import Imitation
from ..run.directory import DataSummary
from ..run.teacher import Teacher
from ..run.weights import matched, teacher_network
from ..streams import NOISE, TIME, named_seed
from .distances import Features, distance
from .loss import draw
from .recipe import stratified
from .replicas import Replicas
from .step import Batch, Trainer

HELD_OUT = 32
_TEACHER_STEPS = 20
# So many of the teacher's batches take turns, until each has been used so often.
_KEPT_BATCHES, _USES = 16, 4
# The weight of the features among the distances.
_OF_FEATURES = 2.0
# Steps of the golden ratio spread numbers evenly over a range.
_GOLDEN_RATIO = (5**0.5 - 1) / 2


class Distiller(Trainer):
    """The variables of a student, and the functions that change them."""

    def __init__(
        self, config: TrainConfig, teacher: Teacher, replicas: Replicas | None = None
    ) -> None:
        super().__init__(config, teacher.data, replicas)
        with self.replicas.strategy.scope():
            network = teacher_network(teacher)
            self._features = Features(network, config.network, config.precision)
        self.begin_with(matched(self.average, network))
        schedule, known = self.denoiser.schedule, teacher.tables
        learned = Tables.from_json(known) if known else None
        steps = config.teacher_steps or (learned.counts[-1] if learned else _TEACHER_STEPS)
        own = replace(self.denoiser, network=network, guidance_range=None)
        guidance = config.guidance_range
        self._table = table_for(steps, learned, schedule)
        self._teacher = Sampling(own, "dpmpp_2m", tables=Tables({steps: self._table}, guidance))
        counts = {count: table_for(count, learned, schedule) for count in config.student_steps}
        self.tables = Tables(counts, guidance)
        weights = hashlib.sha256(b"".join(np.asarray(each).tobytes() for each in network.weights))
        self._identity = f"{weights.hexdigest()} {self._table} {self.tables}"
        self._summary = teacher.data

    def data(self) -> ImageData:
        """No pictures to train on, and as held-out ones what the teacher draws from 32 seeds.

        Their classes and guidance are spread over their ranges.
        """

        def taught() -> tf.Tensor:
            return to_uint8(self.denoiser.pixels(self._taught(*self._held_out())[0]))

        drawn, (_, conditioning) = tf.function(taught, autograph=False)().numpy(), self._held_out()
        labels = None if conditioning is None else np.asarray(conditioning.labels)
        shape: Any = drawn.shape[1:]
        nothing = Images(0, shape, cache=None, decode=drawn.__getitem__)
        held_out = Images(len(drawn), shape, cache=None, decode=drawn.__getitem__, labels=labels)
        digest = hashlib.sha256(self._identity.encode()).hexdigest()
        return ImageData(nothing, held_out, digest, class_names=self._summary.class_names)

    def summary(self, images: ImageData) -> DataSummary:
        """The statistics are those of the pictures that the teacher was trained on."""
        counts = {"images": 0, "eval_images": len(images.held_out)}
        return replace(self._summary, fingerprint=images.fingerprint, **counts)

    def batches(self, images: Images, *, first_step: int, shard: tuple[int, int]) -> Iterator[Any]:
        """What the teacher makes, one batch for each step: its pictures and its noisy images.

        Both are float32 [B / workers, S, S, C]. All follows from the number of the step.
        """
        del images
        worker, workers = shard
        first, end = ((worker + k) * self.config.batch_size // workers for k in (0, 1))

        @tf.function(autograph=False)
        def taught(lesson: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            noise, time, *shown = (each[first:end] for each in self._lesson(lesson))
            return self._taught(noise, _conditioning(shown), time)

        kept = {}
        for step in itertools.count(first_step):
            lesson = _lesson_number(step)
            if lesson not in kept:
                turn = lesson // _KEPT_BATCHES
                kept = {old: kept[old] for old in kept if old // _KEPT_BATCHES == turn}
                kept[lesson] = taught(tf.constant(lesson, tf.int64))
            yield kept[lesson]

    def compared(self, images: Images, held_out: Batch) -> Imitation:
        """How near the averaged student is to the teacher in each count of steps."""
        del images
        noise, conditioning = self._held_out()
        sampling, steps = self._sampling(self.average), self.config.student_steps
        return Imitation(sampling, steps, held_out[0], noise, conditioning)

    def _inputs(self, images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor) -> list[tf.Tensor]:
        """The teacher's pictures and noisy images, a count of steps, and their lesson."""
        config = self.config
        counts, seed = len(config.student_steps), named_seed(config.seed, "student steps", step)
        chosen = tf.random.stateless_uniform([], seed, 0, counts, tf.int32)
        steps = tf.gather(tf.constant(config.student_steps, tf.int64), chosen)
        draws = tf.fill([config.batch_size], steps), *self._lesson(_lesson_number(step))
        return [images, labels, *(self.replicas.rows(each) for each in draws)]

    def _lesson(self, number: tf.Tensor) -> list[tf.Tensor]:
        """Noise and times for a whole batch; with classes, labels and guidance as well."""
        config = self.config
        shape, seed = self._shape(tf.constant(config.batch_size)), config.seed
        noise, uniform = draw(shape, number, seed=seed, noise=NOISE, time=TIME)
        times = self.denoiser.schedule.training_time(stratified(uniform))
        classes = config.num_classes
        return [noise, times, *([] if classes is None else self._shown(classes, number))]

    def _shown(self, classes: int, number: tf.Tensor) -> list[tf.Tensor]:
        """Labels, of which some are none, and guidance for a whole batch."""
        count, seed = [self.config.batch_size], self.config.seed
        labels = tf.random.stateless_uniform(
            count, named_seed(seed, "student labels", number), 0, classes, tf.int64
        )
        hidden, share = tf.unstack(
            tf.random.stateless_uniform([2, *count], named_seed(seed, "guidance", number))
        )
        labels = tf.where(hidden < self.config.label_dropout, -tf.ones_like(labels), labels)
        low, high = self.config.guidance_range or (1.0, 1.0)
        return [labels, low + share * (high - low)]

    def _losses(self, *inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The distances of pictures and of predictions together, and the predictions' time."""
        picture, state, steps, noise, time, *shown = inputs
        conditioning = _conditioning(shown)
        wanted, _ = self._teacher.denoiser(state, time, conditioning)
        student = self._sampling(partial(self.network, training=True))
        most = max(self.config.student_steps)
        drawn = student.images(noise, steps[0], conditioning=conditioning, most_steps=most)
        predicted, _ = student.denoiser(state, time, conditioning)
        features = self._features.distance(drawn, picture, *shown[:1])
        exact = distance(drawn, picture) + distance(predicted, wanted)
        return exact + _OF_FEATURES * features, time

    def _taught(
        self,
        noise: tf.Tensor,
        conditioning: Conditioning | None,
        time: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The teacher's pictures, and its noisy images at a `time` of each, float32 [n].

        The latter are one step of DDIM (arXiv 2010.02502, equation 12) after the last state before.
        """
        total, times = tf.constant(len(self._table.times), tf.int64), (*self._table.times, -1.0)
        rates = self.denoiser.schedule.rates

        def body(step: tf.Tensor, state: Any, image: tf.Tensor, kept: tf.Tensor) -> Any:
            noisy = state["noisy"]
            state, image = self._teacher.step(step, total, state, conditioning=conditioning)
            if time is not None:
                begun, end = (tf.gather(tf.constant(times), step + more) for more in (0, 1))
                noise = noise_between(noisy, image, rates(begun))
                moved = add_noise(image, noise, rates(time[:, None, None, None]))
                here = (time <= begun) & (time > end)
                kept = tf.where(here[:, None, None, None], moved, kept)
            return step + 1, state, image, kept

        nothing = tf.zeros_like(noise)
        start = tf.constant(0, tf.int64), self._teacher.start(noise), nothing, nothing
        *_, image, kept = tf.while_loop(lambda step, *_: step < total, body, start)
        return tf.stop_gradient(image), tf.stop_gradient(kept)

    def _evaluate(self, images: tf.Tensor, labels: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        """The averaged student's mean distance to the teacher over its counts of steps."""
        del labels, number
        noise, conditioning = self._held_out()
        wanted = self.denoiser.normalise(tf.cast(images, tf.float32) / 255)
        sampling = self._sampling(self.average)
        drawn = (
            sampling.images(noise, tf.constant(count, tf.int64), conditioning=conditioning)
            for count in self.config.student_steps
        )
        return tf.reduce_mean([distance(image, wanted) for image in drawn])

    def _held_out(self) -> tuple[tf.Tensor, Conditioning | None]:
        """Noise of the held-out seeds, with labels and guidance if there are classes."""
        shape, seed = (
            self._shape(tf.constant(HELD_OUT)),
            named_seed(0, "held-out seeds", tf.constant(0, tf.int64)),
        )
        noise = tf.random.stateless_normal(shape, seed)
        classes, within = self.config.num_classes, self.config.guidance_range
        if classes is None or within is None:
            return noise, None
        labels = np.arange(HELD_OUT) * classes // HELD_OUT
        share = np.arange(HELD_OUT) * _GOLDEN_RATIO % 1
        guidance = within[0] + share * (within[1] - within[0])
        return noise, Conditioning(
            tf.constant(labels, tf.int64), tf.constant(guidance.astype(np.float32))
        )

    def _sampling(self, network: Any) -> Sampling:
        """The student's way of drawing, with this network."""
        denoiser = replace(self.denoiser, network=network)
        return Sampling(denoiser, "dpmpp_2m", tables=self.tables)


def _conditioning(shown: list[tf.Tensor]) -> Conditioning | None:
    """Of labels and guidance, if there are any."""
    return Conditioning(shown[0], shown[1]) if shown else None


def _lesson_number(step: Any) -> Any:
    """The number of the teacher's batch that a step learns from, counted from 0 as steps are."""
    turn = step // (_KEPT_BATCHES * _USES)
    return turn * _KEPT_BATCHES + step % _KEPT_BATCHES


def table_for(steps: int, learned: Tables | None, schedule: Schedule) -> Table:
    """The table of a count of steps: a learned one, one between the learned ones, or 2M's."""
    if learned is None:
        return plain_table(schedule, steps)
    if steps in learned.by_steps:
        return learned.by_steps[steps]
    nearest = min(learned.counts, key=lambda count: abs(count - steps))
    return stretched(learned.by_steps[nearest], steps)
