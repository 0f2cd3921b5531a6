"""Checkpoints: weights, average, optimizer and step, from which a run goes on.

The position in the data and the random numbers follow from the step (see `streams`).
"""

import logging
import shutil
from pathlib import Path

import keras
import tensorflow as tf

from ..errors import InputError, first_line
from ..network.networks import build_network
from ..run.atomic import replacing, write_error
from ..run.directory import RunDirectory
from .step import Trainer

logger = logging.getLogger("diffkiln.trainer")


class Checkpoints:
    """The checkpoints of one run; TensorFlow writes each under another name and renames it."""

    def __init__(self, run: RunDirectory, trainer: Trainer) -> None:
        self._run, self._folder = run, run.checkpoints
        parts = ("network", "average", "optimizer", "step")
        self._checkpoint = tf.train.Checkpoint(**{name: getattr(trainer, name) for name in parts})
        self._trainer = trainer
        self._saved = -1

    def save(self) -> None:
        """Write the current state, named by its step; raises WriteError if there is no room.

        Then only the newest ones up to this step are kept. Nothing is done if it is saved already.
        """
        step = int(self._trainer.step)
        if step == self._saved:
            return
        self._checkpoint.save_counter.assign_add(1)  # a part of checkpoints since the first version
        try:
            self._checkpoint.write(str(self._folder / f"step-{step}"))
        except tf.errors.OpError as error:
            remove_unfinished(self._folder)
            raise write_error(self._folder, error, f"the checkpoint of step {step} ") from error
        self._saved = step
        # An index that TensorFlow wrote in older versions; it would go stale.
        (self._folder / "checkpoint").unlink(missing_ok=True)
        # A later one cannot be read, or this run would have gone on from it.
        steps = [each for each in self._run.checkpoint_steps() if each <= step]
        for old in steps[: -self._trainer.config.keep_checkpoints]:
            for file in sorted(self._folder.glob(f"step-{old}.*"), reverse=True):
                file.unlink()

    def keep_as_best(self) -> None:
        """Copy the checkpoint of this step to `best/step-N`, where it is kept."""
        best = self._folder / "best"
        best.mkdir(exist_ok=True)
        earlier = {path for path in best.iterdir() if path.is_file()}
        for file in self._folder.glob(f"step-{int(self._trainer.step)}.*"):
            with replacing(best / file.name) as part:
                shutil.copyfile(file, part)
            earlier.discard(best / file.name)
        for file in earlier:
            file.unlink()

    def best_average(self, step: int) -> keras.Model | None:
        """The network with the averaged weights of `best/step-N`; None if they cannot be read."""
        network = build_network(self._trainer.config.network)
        try:
            checkpoint = tf.train.Checkpoint(average=network)
            status = checkpoint.restore(str(self._folder / "best" / f"step-{step}"))
            status.assert_existing_objects_matched().expect_partial()
        except (ValueError, AssertionError, IndexError, tf.errors.OpError):
            return None
        return network

    def restore(self) -> bool:
        """Load the newest readable checkpoint; False if there is none.

        Raises InputError if none of the checkpoints fits.
        """
        faults = []
        for step in reversed(self._run.checkpoint_steps()):
            path = self._folder / f"step-{step}"
            try:
                self._checkpoint.restore(str(path)).assert_consumed()
            except (ValueError, AssertionError, IndexError, tf.errors.OpError) as error:
                faults.append(f"{path} ({first_line(error)})")
                continue
            if faults:
                logger.warning("cannot be read, going on from %s: %s", path.name, ", ".join(faults))
            self._saved = step
            return True
        if faults:
            raise InputError(
                f"cannot be resumed: {', '.join(faults)}; expected a checkpoint of this run's "
                "settings; restore one, or choose another --run_dir"
            )
        return False


def remove_unfinished(folder: Path) -> None:
    """Remove what TensorFlow left of checkpoints that it could not finish, or had no time to."""
    for path in folder.glob("step-*_temp"):
        shutil.rmtree(path, ignore_errors=True)
    for pattern in ("*.tempstate*", "checkpoint.tmp*"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
    for path in folder.glob("step-*.data-*"):
        if not path.with_name(path.name.partition(".data-")[0] + ".index").exists():
            path.unlink(missing_ok=True)
