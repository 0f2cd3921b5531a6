"""The student of the flowers that the repository holds, with its weights as float16."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from diffkiln.export.baking.noise import gaussian_noise
from diffkiln.runtime import Sampler
from diffkiln.trainer.maths.diffusion import Denoiser
from diffkiln.trainer.maths.guidance import Conditioning
from diffkiln.trainer.maths.sampling import Sampling
from diffkiln.trainer.maths.schedules import make_schedule
from diffkiln.trainer.maths.tables import Tables
from diffkiln.trainer.run.directory import RunDirectory
from diffkiln.trainer.run.weights import load_network

pytestmark = pytest.mark.slow

RUN = Path(__file__).parents[3] / "models" / "flowers64-student"


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_seed_keeps_its_picture(guidance: float) -> None:
    run = RunDirectory(RUN)
    config, data = run.read_config()
    schedule = make_schedule(config.schedule, config.max_signal_rate, config.min_signal_rate)
    denoiser = Denoiser(
        *(load_network(run.ema_weights, config.network), schedule, config.prediction),
        *(data.pixel_mean, data.pixel_std),
        num_classes=config.num_classes,
        guidance_range=config.guidance_range,
    )
    tables = run.read_tables()
    assert tables is not None
    student = Sampling(denoiser, "dpmpp_2m", tables=Tables.from_json(tables))
    seeds = np.arange(8)
    noise = gaussian_noise(
        tf.constant(seeds, tf.int64), (64, 64, 3), stream=tf.constant(0, tf.int64)
    )
    conditioning = Conditioning(tf.constant(seeds, tf.int64), tf.constant(guidance))
    drawn = student.sample(noise, 4, conditioning=conditioning).numpy()
    with Sampler(device="cpu") as teacher:
        wanted = teacher.sample(8, labels=seeds.tolist(), guidance=guidance)
    apart = np.square(drawn.astype(np.float32) - wanted).mean(axis=(1, 2, 3))
    # Pictures of other seeds of a species are about 70 levels apart.
    assert np.sqrt(apart).mean() < 20
