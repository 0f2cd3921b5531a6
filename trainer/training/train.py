"""A training run from its settings to its last step, new or resumed."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from ..config import TrainConfig
from ..data.cache import IN_WORDS
from ..data.load import ImageData, load_images
from ..errors import InputError
from ..quality.quality import Quality
from ..run.directory import DataSummary, RunDirectory
from ..run.lineage import earlier_runs
from ..run.lock import RunLock, locked
from ..run.weights import initial_weights
from .checkpoint import Checkpoints
from .loop import TrainingLoop
from .replicas import Replicas, make_replicas
from .step import Trainer


def train(
    run_dir: Path, config: TrainConfig, *, resume: str = "auto", download: bool = False
) -> None:
    """Train `config` in `run_dir` until `config.train_steps`, or until SIGTERM or SIGINT.

    `resume` is `auto` (go on where the run stopped, or begin), `never` or `must`. Raises InputError
    for data that does not exist, and for a run directory that is foreign or of other settings.
    """
    run = RunDirectory(run_dir)
    check_run_directory(run, config, resume)
    replicas = make_replicas(config.distribute, worker_timeout_s=config.worker_timeout_s)
    replicas.check_batch(config.batch_size, config.accumulation_steps)
    with _locked(run, replicas) as lock:
        _train(run, config, replicas, lock, resume=resume, download=download)


@contextlib.contextmanager
def _locked(run: RunDirectory, replicas: Replicas) -> Iterator[RunLock | None]:
    """Hold the run's lock, which the chief has for all workers."""
    with contextlib.ExitStack() as stack:
        lock, refusal = None, None
        if replicas.is_chief:
            try:
                lock = stack.enter_context(locked(run.lock))
            except InputError as error:
                refusal = error
        with replicas.naming_lost_workers():
            replicas.end_together(refusal)
        yield lock


def _train(
    run: RunDirectory,
    config: TrainConfig,
    replicas: Replicas,
    lock: RunLock | None,
    *,
    resume: str,
    download: bool,
) -> None:
    # Again, since another job may have ended meanwhile.
    exists = check_run_directory(run, config, resume)
    print(f"Reading {config.data} …", flush=True)
    images = load_images(
        config, download=download, cache_dir=run.cache, worker=replicas.worker, run=run
    )
    config = replace(config, channels=images.train.shape[-1])
    summary = _same_data(run, config, images) if exists else images.summary()
    keras.utils.set_random_seed(config.seed)
    trainer = Trainer(config, summary, replicas)
    checkpoints = Checkpoints(run.checkpoints, trainer)
    # A run that has averaged weights but no checkpoint has lost it.
    required = resume == "must" or run.ema_weights.exists()
    restored = exists and checkpoints.restore(required=required)
    earlier: list[dict[str, Any]] = []
    if config.init_from and not restored:
        trainer.begin_with(initial_weights(Path(config.init_from), config, trainer.average))
        earlier = earlier_runs(Path(config.init_from))
    first_step = int(trainer.step)
    if first_step > config.train_steps:
        problem = f"the run is at step {first_step} already; give a larger number to go on"
        raise InputError(f"train_steps={config.train_steps}: {problem}")
    quality = Quality(config, images, trainer.denoiser)
    with replicas.naming_lost_workers():
        # Paths may differ from machine to machine.
        settings = replace(config, data_dir=None, cache=None, kid_weights=None)
        replicas.require_same(settings=settings, data=summary, step=first_step)
        if replicas.is_chief:
            run.make()
            run.write_config(config, summary, earlier)
        print(f"{_in_words(trainer, images, summary)}{images}{quality}", flush=True)
        TrainingLoop(run, images, trainer, checkpoints, quality, lock).run()


def _in_words(trainer: Trainer, images: ImageData, summary: DataSummary) -> str:
    config, first_step = trainer.config, int(trainer.step)
    source = config.init_from
    begun = f"with the weights of {source}" if source else "from the beginning"
    start = f"on from step {first_step:,}" if first_step else begun
    grey = " in grey" if config.channels == 1 else ""
    return (
        f"{summary.images:,} images of {config.image_size}×{config.image_size}{grey} "
        f"({summary.eval_images:,} held out), {IN_WORDS[images.cache]}; "
        f"{trainer.network.count_params():,} parameters; {config.precision}; "
        f"{start} to step {config.train_steps:,}."
    )


def check_run_directory(run: RunDirectory, config: TrainConfig, resume: str) -> bool:
    """Whether a run of these settings exists; raises InputError for a folder that is unusable."""
    if run.is_new and resume != "must":
        return False
    if run.is_new:
        problem = "nothing to resume; expected an existing run"
    elif not run.config.exists():
        problem = "exists and is not a run of diffkiln-train (no config.json); choose a new folder"
    elif resume == "never":
        problem = "holds a run already; choose a new folder"
    elif differences := "; ".join(run.read_config()[0].differences(config)):
        remedy = "give the same settings to go on, or choose a new folder"
        problem = f"holds a run of other settings ({differences}); {remedy}"
    else:
        return True
    raise InputError(f"run_dir={run.path}: {problem}")


def _same_data(run: RunDirectory, config: TrainConfig, images: ImageData) -> DataSummary:
    """The summary that the run began with; raises InputError if the images have changed."""
    before, count = run.read_config()[1], len(images.train)
    # Older runs on a folder have a fingerprint of all pixels instead of its files.
    of_pixels = config.data.startswith("folder:") and not before.fingerprint.startswith("files-")
    if before.fingerprint == images.fingerprint or (of_pixels and before.images == count):
        return before
    raise InputError(
        f"run_dir={run.path}: was trained on other data ({before.images} images, fingerprint "
        f"{before.fingerprint[:14]}, not {count}, {images.fingerprint[:14]}); "
        "restore the data to go on, or choose a new folder"
    )
