"""The loop over the steps of a run: the update, and what is due between two of them."""

import contextlib
import math
import time
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from ..data.augment import unchanged
from ..data.batches import Batch
from ..data.load import ImageData
from ..errors import InputError, Stopped
from ..quality.preview import save_npz, save_png
from ..quality.quality import UNKNOWN, Quality
from ..run.average import write_average
from ..run.directory import Best, RunDirectory
from ..run.lock import RunLock
from ..run.metrics import COLUMNS, MetricsLog, progress_bar
from .checkpoint import Checkpoints
from .closing import closing
from .step import Trainer
from .step_metrics import NO_TIME
from .stop import Interrupted, Stop, reason

_EVAL_BATCH = 64


class TrainingLoop:
    """The steps of a run, with its log, previews and checkpoints."""

    def __init__(
        self,
        run: RunDirectory,
        images: ImageData,
        trainer: Trainer,
        checkpoints: Checkpoints,
        quality: Quality,
        stop: Stop,
        lock: RunLock | None = None,
    ) -> None:
        self.run_files, self.config = run, (config := trainer.config)
        held_out, labels = images.evaluation
        self.images, self.evaluation = images.train, (unchanged(held_out, config), labels)
        self.trainer, self.checkpoints, self.quality = trainer, checkpoints, quality
        self.replicas, self.stop, self.lock = trainer.replicas, stop, lock
        # The number of whole steps.
        self.done = self.first_step = int(trainer.step)
        self.logged_step, self.logged_time, self.waited = self.done, time.monotonic(), 0.0
        if self.replicas.is_chief:
            self.compared = trainer.compared(self.images, self.evaluation)
            self.preview = self.compared or trainer.preview()
            compared = self.compared.columns if self.compared else ()
            columns = (*COLUMNS, *trainer.metrics.columns, *compared)
            self.metrics = MetricsLog(run, first_step=self.logged_step, columns=columns)

    def run(self) -> None:
        """Train from the trainer's step to the end of the run.

        Raises Stopped if a signal or the deadline ended it before. After any other error too, the
        state of the last whole step is saved.
        """
        first_step, total = self.done, self.config.train_steps
        shard = (self.replicas.worker, self.replicas.workers)
        data = self.trainer.batches(self.images, first_step=first_step, shard=shard)
        status = 0
        with self.stop:
            try:
                self._catch_up()
                with progress_bar(total, first_step, shown=self.replicas.is_chief) as bar:
                    while self.done < total:
                        if status := self.replicas.most(self.stop.status):
                            break
                        self.advance(self.done + 1, data, bar)
                self._finish()
                status = status or self.replicas.most(self.stop.status if self._lacks() else 0)
            except Exception:
                self._save_after_error()
                raise
            self.replicas.part()
        if status:
            by = f"by {self._reason(status)} at step {self.done:,}"
            print(f"Stopped {by}; the same command goes on from here.", flush=True)
            raise Stopped(f"stopped {by}", status)
        print(closing(self.run_files, self.done), flush=True)

    def _catch_up(self) -> None:
        """Do what was due after the step from which the run goes on, and was left undone."""
        step, run = self.done, self.run_files
        if not (self.replicas.is_chief and step):
            return
        best = run.read_best()
        if best and not run.best_weights.exists():
            self._write_best(best, self.checkpoints.best_average(best.step))
        if not run.is_judged(step):
            self._keep_average(step)
            self.metrics.complete(step, **self._measures(step))
        if self._is_drawn(step) and not self._picture(step).exists():
            self.draw(step)
        self.logged_time = time.monotonic()

    def _finish(self) -> None:
        """Save the last step, and draw if it is the last one of all."""
        if self.replicas.is_chief and self.done > self.first_step:
            self.save(self.done)
            if self.done == self.config.train_steps:
                self.draw(self.done)

    def _lacks(self) -> bool:
        """Whether the run is at its end, but was not measured or drawn there."""
        if not self.replicas.is_chief or self.done < self.config.train_steps:
            return False
        return not (self.run_files.is_judged(self.done) and self._picture(self.done).exists())

    def _save_after_error(self) -> None:
        """Save the last whole step; another error in doing so most likely has the same cause."""
        if not (self.replicas.is_chief and self.done > self.first_step):
            return
        with contextlib.suppress(Exception):
            self._require_lock()
            # TensorFlow leaves a step undone if it fails; otherwise the weights are in doubt.
            if int(self.trainer.step) == self.done and self.trainer.metrics.breakdown is None:
                self.checkpoints.save()
                self._write_average(self.done, judged=self.run_files.is_judged(self.done))
                print(f"Stopped by an error at step {self.done:,}, which is saved.", flush=True)

    def advance(self, step: int, data: Iterator[Batch], bar: tqdm) -> None:
        """Do step `step`, counted from 1, and what is due after it."""
        started = time.monotonic()
        batch = next(data)
        self.waited += time.monotonic() - started
        self.trainer.train(*batch)
        self.done = step
        bar.update()
        if self.replicas.is_chief:
            self._between(step, bar)

    def _between(self, step: int, bar: tqdm) -> None:
        """Log, draw and save when due; after the last step, `run` draws and saves instead."""
        self._require_lock()
        last, measured = step == self.config.train_steps, self.quality.due(step)
        compared = self.compared is not None and self._is_drawn(step)
        if step % self.config.log_every_steps == 0 or last or measured or compared:
            bar.set_postfix_str(self._log(step), refresh=False)
        if self._is_drawn(step) and not last:
            self.draw(step)
        # A step that was measured is saved too, since it may be the best.
        if (step % self.config.checkpoint_every_steps == 0 or measured) and not last:
            self.save(step)

    def _is_drawn(self, step: int) -> bool:
        """Whether this step has a preview; pictures are compared only then."""
        return step % self.config.preview_every_steps == 0 or step == self.config.train_steps

    def _log(self, step: int) -> str:
        """Write a row of metrics, and return it in brief."""
        self._require_finite()
        means = self.trainer.metrics.take()
        now, steps = time.monotonic(), step - self.logged_step
        measures = self._measures(step)
        row = {
            "step": step,
            "images": step * self.config.batch_size,
            "learning_rate": float(self.trainer.optimizer.learning_rate),
            "loss_scale": np.asarray(self.trainer.loss_scale).item(),
            "images_per_second": steps * self.config.batch_size / (now - self.logged_time),
            "input_wait_ms": 1000 * self.waited / steps,
            **means,
            **measures,
        }
        self.metrics.write(row)
        # Evaluation, previews and checkpoints must not count as training time.
        self.logged_step, self.logged_time, self.waited = step, time.monotonic(), 0.0
        eval_loss = measures["eval_loss"]
        held_out = "" if math.isnan(eval_loss) else f" (held out {eval_loss:.4f})"
        speed = f"{row['images_per_second']:.0f} {self.config.samples}/s"
        return f"loss {row['loss']:.4f}{held_out}, {speed}"

    def _require_lock(self) -> None:
        if self.lock:
            self.lock.require()

    def _measures(self, step: int) -> dict[str, float]:
        """The loss on held-out images, and what else is due; nan if the run is to end first."""
        eval_loss, distance = math.nan, UNKNOWN
        compared = dict.fromkeys(self.compared.columns, math.nan) if self.compared else {}
        with contextlib.suppress(Interrupted):
            eval_loss = self._eval_loss()
            distance = self.quality.at(step, self.stop.check)
            if self.compared and self._is_drawn(step):
                compared = self.compared.measures(self.stop.check)
        return {
            "eval_loss": eval_loss,
            "kid": distance.mean,
            "kid_standard_error": distance.standard_error,
            **compared,
        }

    def _require_finite(self) -> None:
        """Stop if the loss or gradient is no longer finite; nothing is saved after that."""
        broken = self.trainer.metrics.breakdown
        if broken is None:
            return
        kept = "the checkpoint before it is kept; " if self.run_files.ema_weights.exists() else ""
        at_time = "" if broken.time == NO_TIME else f", at time t = {broken.time:.3f}"
        raise InputError(
            f"the loss or its gradient was not finite in step {broken.step:,}{at_time}: "
            f"expected finite numbers; {kept}train in a new --run_dir with "
            f"a lower --learning_rate than {self.config.learning_rate:g}"
        )

    def _eval_loss(self) -> float:
        """The mean loss of held-out batches, nan if there are none; may raise Interrupted."""
        losses = []
        for start in range(0, len(self.evaluation[0]), _EVAL_BATCH):
            self.stop.check()
            part = (tf.constant(each[start : start + _EVAL_BATCH]) for each in self.evaluation)
            losses.append(float(self.trainer.evaluate(*part, tf.constant(start, tf.int64))))
        return float(np.mean(losses)) if losses else math.nan

    def draw(self, step: int) -> None:
        """Write a preview of the average after this step, unless the run is to end."""
        started = time.monotonic()
        with contextlib.suppress(Interrupted):
            self.stop.check()
            drawn = self.preview.draw()
            if isinstance(drawn, dict):
                save_npz(drawn, self._picture(step))
            else:
                save_png(drawn, self._picture(step))
                self.metrics.picture(drawn, step)
        self.logged_time += time.monotonic() - started

    def _picture(self, step: int) -> Path:
        ending = "npz" if self.config.of_arrays else "png"
        return self.run_files.samples / f"step-{step:07d}.{ending}"

    def save(self, step: int) -> None:
        """Write a checkpoint of this step, and its average for export."""
        self._require_lock()
        self._require_finite()
        started = time.monotonic()
        self.checkpoints.save()
        if not self.run_files.is_judged(step):
            self._keep_average(step)
        self.logged_time += time.monotonic() - started

    def _keep_average(self, step: int) -> None:
        """Write the average for export, and a copy if it is the best so far.

        What is written last says whether it was compared with the best; see `_catch_up`.
        """
        judged = True
        try:
            best = self.quality.candidate(step, self._eval_loss(), self.stop.check)
        except Interrupted:
            best, judged = None, False
        if best and best.beats(self.run_files.read_best()):
            self.checkpoints.keep_as_best()
            self._write_best(best, self.trainer.average)
            self.run_files.write_best(best)
        self._write_average(step, judged=judged)

    def _write_best(self, best: Best, average: keras.Model | None) -> None:
        if average is not None:
            text = best.to_json()  # in case best.json gets lost
            write_average(self.run_files.best_weights, average, step=best.step, best=text)

    def _write_average(self, step: int, *, judged: bool) -> None:
        weights, average = self.run_files.ema_weights, self.trainer.average
        write_average(weights, average, step=step, judged=judged)

    def _reason(self, status: int) -> str:
        mine = status == self.stop.status
        return reason(status) if mine else f"another worker ({reason(status)})"
