"""Resumable state on disk: weights, average, optimizer and step.

The data position and the random numbers follow from the step (see `data` and `step`).
"""

from pathlib import Path

import tensorflow as tf

from .errors import InputError
from .step import Trainer

KEPT_CHECKPOINTS = 3


class Checkpoints:
    """The checkpoints of one run; TensorFlow writes each to the side and then renames it."""

    def __init__(self, folder: Path, trainer: Trainer) -> None:
        self._checkpoint = tf.train.Checkpoint(
            network=trainer.network,
            average=trainer.average,
            optimizer=trainer.optimizer,
            step=trainer.step,
        )
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(folder), max_to_keep=KEPT_CHECKPOINTS, checkpoint_name="step"
        )
        self._trainer = trainer

    def save(self) -> None:
        """Write the present state, named by its step."""
        self._manager.save(checkpoint_number=int(self._trainer.step))

    def restore(self) -> bool:
        """Load the newest checkpoint; False where there is none.

        Raises InputError for one that cannot be read or has another shape.
        """
        newest = self._manager.latest_checkpoint
        if newest is None:
            return False
        try:
            self._checkpoint.restore(newest).assert_consumed()
        except (ValueError, AssertionError, IndexError, tf.errors.OpError) as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise InputError(
                f"{newest}: cannot be resumed ({reason}); expected a checkpoint of this run's "
                "settings; choose another --run_dir, or remove the damaged checkpoint"
            ) from error
        return True
