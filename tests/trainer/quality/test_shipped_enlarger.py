"""The run of the enlarger that the repository holds, with its weights as float16."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from diffkiln.runtime import Sampler
from diffkiln.trainer.conditions.small import reduced
from diffkiln.trainer.maths.diffusion import Denoiser
from diffkiln.trainer.maths.schedules import make_schedule
from diffkiln.trainer.quality.restoration import restored
from diffkiln.trainer.run.directory import RunDirectory
from diffkiln.trainer.run.weights import load_network

pytestmark = pytest.mark.slow

RUN = Path(__file__).parents[3] / "models" / "flowers64x4"


def test_enlarged_flowers_are_faithful_and_not_blurred() -> None:
    run = RunDirectory(RUN)
    config, data = run.read_config()
    schedule = make_schedule(config.schedule, config.max_signal_rate, config.min_signal_rate)
    network = load_network(run.ema_weights, config.network)
    denoiser = Denoiser(network, schedule, config.prediction, data.pixel_mean, data.pixel_std)
    with Sampler(device="cpu") as flowers:
        pictures = tf.constant(flowers.sample(4))
    noise = tf.random.stateless_normal(tf.shape(pictures), (0, 0))
    number = tf.constant(0, tf.int64)
    nothing = tf.fill([4], tf.constant(-1, tf.int64))
    small, large = restored(config, denoiser, noise, pictures, nothing, number)
    apart = reduced(large, 4) - reduced(pictures, 4)
    # The report's 1,020 photographs are 1.6 levels off, root mean square.
    assert np.sqrt(np.mean(np.square(apart))) < 3
    # In blocks of 4×4 equal pixels, as in `small`, most neighbours do not differ.
    steps = [np.abs(np.diff(x.numpy().astype(float), axis=2)) for x in (small, large)]
    assert (steps[0] == 0).mean() > 0.7
    assert (steps[1] == 0).mean() < 0.3
