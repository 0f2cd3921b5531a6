"""The training loop: one loop for every case, from the first step or from where a run stopped."""

import contextlib
import math
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from .checkpoint import Checkpoints
from .config import TrainConfig
from .data import ImageData, batches, load_images
from .errors import InputError
from .metrics import MetricsLog, Row, progress_bar
from .preview import Preview, save_png
from .run_directory import DataSummary, RunDirectory, replacing
from .step import Trainer


def train(
    run_dir: Path, config: TrainConfig, *, resume: str = "auto", download: bool = False
) -> None:
    """Train `config` in `run_dir` until `config.train_steps`, or until SIGTERM or SIGINT.

    `resume` is `auto` (go on where the run stopped, or begin), `never` or `must`. Raises InputError
    for data that is not there, and for a run directory that is foreign or of other settings.
    """
    run = RunDirectory(run_dir)
    exists = check_run_directory(run, config, resume)
    images = load_images(config, download=download)
    summary = images.summary()
    if exists:
        _check_same_data(run, summary)
    keras.utils.set_random_seed(config.seed)
    trainer = Trainer(config, summary)
    for folder in (run.path, run.samples, run.checkpoints):
        folder.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(run.checkpoints, trainer)
    resumed = exists and checkpoints.restore()
    run.write_config(config, summary)
    first_step = int(trainer.step)
    print(_opening(config, summary, trainer, first_step if resumed else None), flush=True)
    loop = _Loop(run, config, images, trainer, checkpoints)
    loop.run(first_step)


def check_run_directory(run: RunDirectory, config: TrainConfig, resume: str) -> bool:
    """Whether a run of these settings is there already; InputError where it cannot be used."""
    if not run.path.exists() or (run.path.is_dir() and not any(run.path.iterdir())):
        if resume == "must":
            raise InputError(f"run_dir={run.path}: nothing to resume; expected an existing run")
        return False
    if not run.config.exists():
        raise InputError(
            f"run_dir={run.path}: exists and is not a run of diffkiln-train (no config.json); "
            "choose a new folder"
        )
    if resume == "never":
        raise InputError(f"run_dir={run.path}: holds a run already; choose a new folder")
    differences = run.read_config()[0].differences(config)
    if differences:
        raise InputError(
            f"run_dir={run.path}: holds a run of other settings ({'; '.join(differences)}); "
            "give the same settings to go on, or choose a new folder"
        )
    return True


def _check_same_data(run: RunDirectory, summary: DataSummary) -> None:
    before = run.read_config()[1]
    if before.fingerprint != summary.fingerprint:
        raise InputError(
            f"run_dir={run.path}: was trained on other data ({before.images} images, fingerprint "
            f"{before.fingerprint[:12]}, not {summary.images}, {summary.fingerprint[:12]}); "
            "restore the data to go on, or choose a new folder"
        )


class _Loop:
    """Steps, and what happens between them."""

    def __init__(
        self,
        run: RunDirectory,
        config: TrainConfig,
        images: ImageData,
        trainer: Trainer,
        checkpoints: Checkpoints,
    ) -> None:
        self.run_files, self.config, self.images = run, config, images
        self.trainer, self.checkpoints = trainer, checkpoints
        self.preview = Preview(trainer.denoiser, config.image_size)
        self.metrics = MetricsLog(run, first_step=int(trainer.step))
        self.loss = keras.metrics.Mean()
        self.logged_step, self.logged_time = int(trainer.step), time.monotonic()

    def run(self, first_step: int) -> None:
        step, total = first_step, self.config.train_steps
        data = iter(batches(self.images.train, self.config, first_step=first_step))
        with progress_bar(total, first_step) as bar, stop_signals() as stop:
            while step < total and not stop:
                self.loss.update_state(self.trainer.train(next(data)))
                step += 1
                bar.update()
                if step % self.config.log_every_steps == 0 or step == total:
                    row = self._log(step)
                    bar.set_postfix_str(_brief(row), refresh=False)
                if step % self.config.preview_every_steps == 0 and step < total:
                    self._draw(step)
                if step % self.config.checkpoint_every_steps == 0 and step < total:
                    self._save()
        self._save()
        if step >= total:
            self._draw(step)
        print(self._closing(step, stop))

    def _log(self, step: int) -> Row:
        loss = float(self.loss.result())
        if not math.isfinite(loss):
            raise InputError(
                f"the loss became {loss} by step {step}: expected a finite number; start again "
                f"with a lower --learning_rate than {self.config.learning_rate:g}"
            )
        now = time.monotonic()
        images = (step - self.logged_step) * self.config.batch_size
        row = Row(
            step=step,
            images=step * self.config.batch_size,
            loss=loss,
            eval_loss=self._eval_loss(),
            learning_rate=float(self.trainer.optimizer.learning_rate),
            images_per_second=images / (now - self.logged_time),
        )
        self.metrics.write(row)
        self.loss.reset_state()
        # Evaluation, previews and checkpoints must not count as training time.
        self.logged_step, self.logged_time = step, time.monotonic()
        return row

    def _eval_loss(self) -> float:
        held_out = self.images.evaluation[:256]
        losses = [
            float(
                self.trainer.evaluate(
                    tf.constant(held_out[start : start + 64]), tf.constant(start, tf.int64)
                )
            )
            for start in range(0, len(held_out), 64)
        ]
        return float(np.mean(losses)) if losses else math.nan

    def _draw(self, step: int) -> None:
        started = time.monotonic()
        grid = self.preview.draw()
        save_png(grid, self.run_files.samples / f"step-{step:07d}.png")
        self.metrics.picture(grid, step)
        self.logged_time += time.monotonic() - started

    def _save(self) -> None:
        started = time.monotonic()
        self.checkpoints.save()
        with replacing(self.run_files.ema_weights) as part:
            # Keras insists on this ending.
            named = part.with_name(part.name + ".weights.h5")
            self.trainer.average.save_weights(named)
            named.replace(part)
        self.logged_time += time.monotonic() - started

    def _closing(self, step: int, stop: list[str]) -> str:
        if stop:
            return f"Stopped by {stop[0]} at step {step:,}; the same command goes on from here."
        return (
            f"Trained {step:,} steps. Next: diffkiln-export --run_dir={self.run_files.path} "
            "--bundle=BUNDLE"
        )


@contextlib.contextmanager
def stop_signals() -> Iterator[list[str]]:
    """A list that a SIGTERM or SIGINT puts its name on, so that a loop can end between steps."""
    received: list[str] = []
    signals = (signal.SIGTERM, signal.SIGINT)
    before = [
        signal.signal(number, lambda number, _: received.append(signal.Signals(number).name))
        for number in signals
    ]
    try:
        yield received
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _brief(row: Row) -> str:
    held_out = "" if math.isnan(row.eval_loss) else f" (held out {row.eval_loss:.4f})"
    return f"loss {row.loss:.4f}{held_out}, {row.images_per_second:.0f} images/s"


def _opening(
    config: TrainConfig, data: DataSummary, trainer: Trainer, resumed_step: int | None
) -> str:
    start = "from the beginning" if resumed_step is None else f"on from step {resumed_step:,}"
    return (
        f"{config.data}: {data.images:,} images of {config.image_size}×{config.image_size} "
        f"({data.eval_images:,} held out); {trainer.network.count_params():,} parameters; "
        f"{config.precision}; {start} to step {config.train_steps:,}."
    )
