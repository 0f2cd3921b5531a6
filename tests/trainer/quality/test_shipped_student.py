"""The bundled flowers are a student, whose teacher the repository holds as float16."""

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
from diffkiln.trainer.run.teacher import read_teacher
from diffkiln.trainer.run.weights import teacher_network

pytestmark = pytest.mark.slow

TEACHER = Path(__file__).parents[3] / "models" / "flowers64"


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_seed_keeps_its_picture(guidance: float) -> None:
    teacher = read_teacher(TEACHER)
    config, data = teacher.config, teacher.data
    schedule = make_schedule(config.schedule, config.max_signal_rate, config.min_signal_rate)
    denoiser = Denoiser(
        *(teacher_network(teacher), schedule, config.prediction),
        *(data.pixel_mean, data.pixel_std),
        num_classes=config.num_classes,
    )
    assert teacher.tables is not None
    sampling = Sampling(denoiser, "dpmpp_2m", tables=Tables.from_json(teacher.tables))
    seeds = np.arange(8)
    noise = gaussian_noise(
        tf.constant(seeds, tf.int64), (64, 64, 3), stream=tf.constant(0, tf.int64)
    )
    conditioning = Conditioning(tf.constant(seeds, tf.int64), tf.constant(guidance))
    wanted = sampling.sample(noise, 8, conditioning=conditioning).numpy()
    with Sampler(device="cpu") as student:
        drawn = student.sample(8, labels=seeds.tolist(), guidance=guidance)
    apart = np.square(drawn.astype(np.float32) - wanted).mean(axis=(1, 2, 3))
    # Pictures of other seeds of a species are about 70 levels apart.
    assert np.sqrt(apart).mean() < 20
