"""A training run from its settings to its last step, new or resumed."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import keras

from ..config import TrainConfig
from ..data.cache import IN_WORDS
from ..data.latents import latents_of
from ..data.load import ImageData, load_images
from ..errors import InputError
from ..quality.quality import Quality
from ..run.autoencoder import name_on_record, read_autoencoder
from ..run.codec import Codec
from ..run.directory import DataSummary, RunDirectory
from ..run.lineage import earlier_runs
from ..run.lock import RunLock, locked
from ..run.mend import mend
from ..run.teacher import read_teacher
from ..run.weights import check_initial_weights, initial_weights
from .admission import check_run_directory, check_steps, same_data
from .autoencoder import AutoencoderTrainer
from .checkpoint import Checkpoints, remove_unfinished
from .distiller import Distiller
from .latents import LatentTrainer
from .loop import TrainingLoop
from .replicas import Replicas, make_replicas
from .step import Trainer
from .stop import Stop


def train(
    run_dir: Path,
    config: TrainConfig,
    *,
    resume: str = "auto",
    download: bool = False,
    allow_data_change: bool = False,
    deadline: float = math.inf,
) -> None:
    """Train `config` in `run_dir` until `config.train_steps`.

    `resume` is `auto` (go on where the run stopped, or begin), `never` or `must`. With
    `allow_data_change` a run goes on although its data is another, with the same classes. Raises
    Stopped after a signal or at `deadline`, a time of `time.monotonic`, and InputError for data
    that does not exist, and for a run directory that is foreign or of other settings.
    """
    run = RunDirectory(run_dir)
    check_run_directory(run, config, resume)
    replicas = make_replicas(config.distribute, worker_timeout_s=config.worker_timeout_s)
    replicas.check_batch(config.batch_size, config.accumulation_steps)
    with _locked(run, replicas) as lock:
        options = {"resume": resume, "download": download, "allow_data_change": allow_data_change}
        _train(run, config, replicas, Stop(deadline), lock, **options)


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
    stop: Stop,
    lock: RunLock | None,
    *,
    resume: str,
    download: bool,
    allow_data_change: bool,
) -> None:
    # Again, since another job may have ended meanwhile.
    exists = check_run_directory(run, config, resume)
    if replicas.is_chief:
        mend(run)
        remove_unfinished(run.checkpoints)
    codec = None if config.latents is None else Codec(read_autoencoder(Path(config.latents), run))
    if config.init_from and not run.checkpoint_steps():
        check_initial_weights(Path(config.init_from), config)
    begun_with = config.init_from or config.distill_from
    # A run that has begun has them on record.
    earlier = earlier_runs(Path(begun_with)) if begun_with and not exists else []
    student = None
    if config.distill_from is None:
        print(f"Reading {config.data} …", flush=True)
        images = load_images(
            config.pictures,
            download=download,
            cache_dir=run.cache,
            worker=replicas.worker,
            run=run,
        )
        if not config.of_arrays:
            config = replace(config, channels=images.train.shape[-1])
    else:
        print(f"Drawing with {config.distill_from} …", flush=True)
        keras.utils.set_random_seed(config.seed)
        student = Distiller(config, read_teacher(Path(config.distill_from)), replicas)
        images = student.data()
    if exists:
        summary = same_data(run, config, images, allow_change=allow_data_change)
    else:
        images = _encoded(images, config, codec)
        summary = student.summary(images) if student else images.summary()
    if student is None:
        keras.utils.set_random_seed(config.seed)
    trainer = student or _trainer(config, summary, replicas, codec)
    checkpoints = Checkpoints(run, trainer)
    restored = exists and checkpoints.restore()
    tables = student.tables.to_json() if student else None
    if config.init_from and not restored:
        trainer.begin_with(initial_weights(Path(config.init_from), config, trainer.average))
    first_step = int(trainer.step)
    check_steps(config, first_step)
    if exists:
        # Only now, since it takes long, and nothing can be refused any more.
        images = _encoded(images, config, codec)
    quality = Quality(config, images, trainer.denoiser)
    with replicas.naming_lost_workers():
        # Paths may differ from machine to machine.
        places = dict.fromkeys(("data_dir", "cache", "kid_weights"))
        settings = replace(config, **places)
        replicas.require_same(settings=settings, data=summary, step=first_step)
        if replicas.is_chief:
            run.make()
            autoencoder = codec and codec.copy_into(run)
            run.write_config(_on_record(config, run), summary, earlier, tables, autoencoder)
        print(f"{_in_words(trainer, images, summary)}{images}{quality}", flush=True)
        TrainingLoop(run, images, trainer, checkpoints, quality, stop, lock).run()


def _on_record(config: TrainConfig, run: RunDirectory) -> TrainConfig:
    """The settings for config.json, which keeps the name of an autoencoder that has moved."""
    if config.latents is None:
        return config
    return replace(config, latents=name_on_record(config.latents, run))


def _encoded(images: ImageData, config: TrainConfig, codec: Codec | None) -> ImageData:
    """The latents of a latent model's pictures; other images as they are."""
    if codec is None:
        return images
    print(f"Encoding {images.counts[0]:,} images …", flush=True)
    return latents_of(images, codec.encode, flips=config.flips)


def _trainer(
    config: TrainConfig, summary: DataSummary, replicas: Replicas, codec: Codec | None
) -> Trainer:
    """The trainer of a run that is no student's."""
    if codec is not None:
        return LatentTrainer(config, summary, codec, replicas)
    if config.task == "autoencoder":
        return AutoencoderTrainer(config, summary, replicas)
    return Trainer(config, summary, replicas)


def _in_words(trainer: Trainer, images: ImageData, summary: DataSummary) -> str:
    config, first_step = trainer.config, int(trainer.step)
    source = config.init_from or config.distill_from
    begun = f"with the weights of {source}" if source else "from the beginning"
    start = f"on from step {first_step:,}" if first_step else begun
    grey = " in grey" if config.channels == 1 else ""
    article = "an " if config.task == "autoencoder" else ""
    task = "" if config.task == "generation" else f" for {article}{config.task}"
    shape = f"{config.image_size}×{config.image_size}{grey}{task}"
    if config.of_arrays:
        shape = f"shape {list(config.array_shape or ())}"
    if config.latents is not None:
        shape = f"{shape} as latents {list(config.array_shape or ())}"
    data = f"{summary.images:,} {config.samples} of {shape} ({summary.eval_images:,} held out)"
    data = f"{data}, {'in memory' if config.latents else IN_WORDS[images.cache]}"
    if config.distill_from is not None:
        counts = ", ".join(map(str, config.student_steps))
        data = f"Images of {shape} in {counts} steps ({summary.eval_images:,} seeds held out)"
    return (
        f"{data}; "
        f"{trainer.network.count_params():,} parameters; {config.precision}; "
        f"{start} to step {config.train_steps:,}."
    )
