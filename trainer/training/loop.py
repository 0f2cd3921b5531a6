"""The loop over the steps of a run: the update, and what is due between two of them."""

import contextlib
import math
import shlex
import shutil
import signal
import time
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from ..data.augment import whole
from ..data.batches import Batch, batches
from ..data.load import ImageData
from ..errors import InputError
from ..quality.preview import Preview, save_png
from ..quality.quality import Quality
from ..run.atomic import replacing
from ..run.directory import RunDirectory, write_step
from ..run.lock import RunLock
from ..run.metrics import MetricsLog, progress_bar
from .checkpoint import Checkpoints
from .step import Trainer

_EVAL_BATCH = 64


@contextlib.contextmanager
def stop_signals() -> Iterator[list[str]]:
    """A list to which a SIGTERM or SIGINT adds its name, so that a loop can end between steps."""
    received: list[str] = []

    def receive(number: int, _: object) -> None:
        received.append(signal.Signals(number).name)

    before = {number: signal.signal(number, receive) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class TrainingLoop:
    """The steps of a run, with its log, previews and checkpoints."""

    def __init__(
        self,
        run: RunDirectory,
        images: ImageData,
        trainer: Trainer,
        checkpoints: Checkpoints,
        quality: Quality,
        lock: RunLock | None = None,
    ) -> None:
        self.run_files, self.config = run, (config := trainer.config)
        held_out, labels = images.evaluation
        self.images, self.evaluation = images.train, (whole(held_out, config.image_size), labels)
        self.trainer, self.checkpoints, self.quality = trainer, checkpoints, quality
        self.replicas, self.lock = trainer.replicas, lock
        self.logged_step, self.logged_time, self.waited = int(trainer.step), time.monotonic(), 0.0
        if self.replicas.is_chief:
            self.preview = Preview(trainer.denoiser, self.config.image_size)
            self.metrics = MetricsLog(run, first_step=self.logged_step)

    def run(self) -> None:
        """Train from the trainer's step to the end of the run, or until a signal."""
        first_step, total = int(self.trainer.step), self.config.train_steps
        step = first_step
        shard = (self.replicas.worker, self.replicas.workers)
        data = batches(self.images, self.config, first_step=first_step, shard=shard)
        with stop_signals() as stop:
            with progress_bar(total, first_step, shown=self.replicas.is_chief) as bar:
                while step < total and not self.replicas.any(bool(stop)):
                    step += 1
                    self.advance(step, data, bar)
            if self.replicas.is_chief and step > first_step:
                self.save(step)
                if step == total:
                    self.draw(step)
            elif self.replicas.is_chief and step:
                self._keep_average(step)  # A run that was killed may not have written it.
            self.replicas.part()
        print(self._closing(step, stop))
        if "SIGINT" in stop:
            raise KeyboardInterrupt

    def advance(self, step: int, data: Iterator[Batch], bar: tqdm) -> None:
        """Do step `step`, counted from 1, and what is due after it."""
        started = time.monotonic()
        batch = next(data)
        self.waited += time.monotonic() - started
        self.trainer.train(*batch)
        bar.update()
        if self.replicas.is_chief:
            self._between(step, bar)

    def _between(self, step: int, bar: tqdm) -> None:
        """Log, draw and save when due; after the last step, `run` draws and saves instead."""
        self._require_lock()
        last, measured = step == self.config.train_steps, self.quality.due(step)
        if step % self.config.log_every_steps == 0 or last or measured:
            bar.set_postfix_str(self._log(step), refresh=False)
        if step % self.config.preview_every_steps == 0 and not last:
            self.draw(step)
        # A step that was measured is saved too, since it may be the best.
        if (step % self.config.checkpoint_every_steps == 0 or measured) and not last:
            self.save(step)

    def _log(self, step: int) -> str:
        """Write a row of metrics, and return it in brief."""
        self._require_finite()
        means = self.trainer.metrics.take()
        now, steps = time.monotonic(), step - self.logged_step
        distance = self.quality.at(step)
        row = {
            "step": step,
            "images": step * self.config.batch_size,
            "eval_loss": self._eval_loss(),
            "kid": distance.mean,
            "kid_standard_error": distance.standard_error,
            "learning_rate": float(self.trainer.optimizer.learning_rate),
            "loss_scale": np.asarray(self.trainer.loss_scale).item(),
            "images_per_second": steps * self.config.batch_size / (now - self.logged_time),
            "input_wait_ms": 1000 * self.waited / steps,
            **means,
        }
        self.metrics.write(row)
        # Evaluation, previews and checkpoints must not count as training time.
        self.logged_step, self.logged_time, self.waited = step, time.monotonic(), 0.0
        eval_loss = row["eval_loss"]
        held_out = "" if math.isnan(eval_loss) else f" (held out {eval_loss:.4f})"
        return f"loss {row['loss']:.4f}{held_out}, {row['images_per_second']:.0f} images/s"

    def _require_lock(self) -> None:
        if self.lock:
            self.lock.require()

    def _require_finite(self) -> None:
        """Stop if the loss or gradient is no longer finite; nothing is saved after that."""
        broken = self.trainer.metrics.breakdown
        if broken is None:
            return
        kept = "the checkpoint before it is kept; " if self.run_files.ema_weights.exists() else ""
        raise InputError(
            f"the loss or its gradient was not finite in step {broken.step:,}, at time t = "
            f"{broken.time:.3f}: expected finite numbers; {kept}train in a new --run_dir with "
            f"a lower --learning_rate than {self.config.learning_rate:g}"
        )

    def _eval_loss(self) -> float:
        """The mean loss of held-out batches, nan if there are none."""
        losses = []
        for start in range(0, len(self.evaluation[0]), _EVAL_BATCH):
            part = (tf.constant(each[start : start + _EVAL_BATCH]) for each in self.evaluation)
            losses.append(float(self.trainer.evaluate(*part, tf.constant(start, tf.int64))))
        return float(np.mean(losses)) if losses else math.nan

    def draw(self, step: int) -> None:
        """Write a preview of the average after this step."""
        started = time.monotonic()
        grid = self.preview.draw()
        save_png(grid, self.run_files.samples / f"step-{step:07d}.png")
        self.metrics.picture(grid, step)
        self.logged_time += time.monotonic() - started

    def save(self, step: int) -> None:
        """Write a checkpoint of this step, and its average for export."""
        self._require_lock()
        self._require_finite()
        started = time.monotonic()
        self.checkpoints.save()
        self._keep_average(step)
        self.logged_time += time.monotonic() - started

    def _keep_average(self, step: int) -> None:
        """Write the average for export, and a copy if it is the best so far."""
        with replacing(self.run_files.ema_weights) as part:
            self.trainer.average.save_weights(part)
            write_step(part, step)
        best = self.quality.candidate(step, self._eval_loss())
        if best and best.beats(self.run_files.read_best()):
            self.checkpoints.keep_newest_as_best()
            with replacing(self.run_files.best_weights) as part:
                shutil.copyfile(self.run_files.ema_weights, part)
            self.run_files.write_best(best)

    def _closing(self, step: int, stop: list[str]) -> str:
        if stop or step < self.config.train_steps:
            reason = stop[0] if stop else "another worker"
            return f"Stopped by {reason} at step {step:,}; the same command goes on from here."
        run_dir = shlex.quote(str(self.run_files.path))
        best, weights, lower = self.run_files.read_best(), "", ""
        if best and best.step < step:
            weights = " --weights=best"
            measure = "KID" if best.measure == "kid" else "The held-out loss"
            lower = f" {measure} was lowest at step {best.step:,}."
        return (
            f"Trained {step:,} steps.{lower} Next: "
            f"diffkiln-export --run_dir={run_dir}{weights} --bundle=BUNDLE"
        )
