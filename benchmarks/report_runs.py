"""What runs draw before they are exported: with averaged weights, and with the last step's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from report_model import TOGETHER, Pictures

from diffkiln.trainer.maths.diffusion import Denoiser
from diffkiln.trainer.maths.sampling import Sampling
from diffkiln.trainer.quality.preview import conditioning_for
from diffkiln.trainer.run.directory import RunDirectory
from diffkiln.trainer.training.checkpoint import Checkpoints
from diffkiln.trainer.training.step import Trainer

STEPS = 20


class Run:
    """The newest checkpoint of a run directory."""

    def __init__(self, folder: Path) -> None:
        files = RunDirectory(folder)
        config, data = files.read_config()
        trainer = Trainer(config, data)
        if not Checkpoints(files, trainer).restore():
            raise FileNotFoundError(f"{files.checkpoints}: no checkpoint; use a run that has one")
        self.step, self.prediction = int(trainer.step), config.prediction
        self.schedule = config.schedule
        self.batch_size = config.batch_size
        self.averaged = trainer.denoiser
        self.as_trained = replace(trainer.denoiser, network=trainer.network)


def draw(
    denoiser: Denoiser, noise: NDArray, labels: NDArray[np.int64], guidance: float = 1.0
) -> Pictures:
    """Draw pictures of noise [N, H, W, C] and classes int64 [N] in 20 steps of DDIM."""

    def portion(noise: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        conditioning = conditioning_for(denoiser, labels, guidance=guidance)
        return Sampling(denoiser).sample(noise, STEPS, conditioning=conditioning)

    drawn = tf.function(portion, autograph=False, reduce_retracing=True)
    starts = range(0, len(noise), TOGETHER)
    rows = [slice(start, start + TOGETHER) for start in starts]
    pictures = [drawn(tf.constant(noise[r], tf.float32), tf.constant(labels[r])) for r in rows]
    return np.concatenate(pictures)
