"""Checkpoints: weights, average, optimizer and step, from which a run goes on.

The position in the data and the random numbers follow from the step (see `streams`).
"""

import logging
import shutil
from pathlib import Path

import tensorflow as tf

from ..errors import InputError, first_line
from ..run.atomic import replacing
from .step import Trainer

logger = logging.getLogger("diffkiln.trainer")


class Checkpoints:
    """The checkpoints of one run; TensorFlow writes each under another name and renames it."""

    def __init__(self, folder: Path, trainer: Trainer) -> None:
        self._folder = folder
        parts = ("network", "average", "optimizer", "step")
        self._checkpoint = tf.train.Checkpoint(**{name: getattr(trainer, name) for name in parts})
        keep = trainer.config.keep_checkpoints
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(folder), max_to_keep=keep, checkpoint_name="step"
        )
        self._trainer = trainer

    def save(self) -> None:
        """Write the current state, named by its step; raises OSError if there is no room."""
        try:
            self._manager.save(checkpoint_number=int(self._trainer.step))
        except tf.errors.OpError as error:
            problem = f"the checkpoint of step {int(self._trainer.step)} could not be written"
            remedy = "make room, and give the same command again"
            raise OSError(f"{self._folder}: {problem} ({first_line(error)}); {remedy}") from error

    def keep_newest_as_best(self) -> None:
        """Copy the newest checkpoint to `best/step-N`, where it is kept when newer ones follow."""
        newest = Path(self._manager.latest_checkpoint)
        best = self._folder / "best"
        best.mkdir(exist_ok=True)
        earlier = set(best.iterdir())
        for file in self._folder.glob(f"{newest.name}.*"):
            with replacing(best / file.name) as part:
                shutil.copyfile(file, part)
            earlier.discard(best / file.name)
        for file in earlier:
            file.unlink()

    def restore(self, *, required: bool = False) -> bool:
        """Load the newest readable checkpoint; False if there is none and none is `required`.

        Raises InputError if none of the checkpoints fits, or a required one is missing.
        """
        faults = []
        paths = [index.with_suffix("") for index in self._folder.glob("step-*.index")]
        for path in sorted(paths, key=lambda path: -int(path.name.removeprefix("step-"))):
            try:
                self._checkpoint.restore(str(path)).assert_consumed()
            except (ValueError, AssertionError, IndexError, tf.errors.OpError) as error:
                faults.append(f"{path} ({first_line(error)})")
                continue
            if faults:
                logger.warning("cannot be read, going on from %s: %s", path.name, ", ".join(faults))
            return True
        if faults:
            raise InputError(
                f"cannot be resumed: {', '.join(faults)}; expected a checkpoint of this run's "
                "settings; restore one, or choose another --run_dir"
            )
        if required:
            raise InputError(
                f"{self._folder}: holds no checkpoint; expected the checkpoints of the run in "
                f"{self._folder.parent}; restore them, or choose another --run_dir"
            )
        return False
