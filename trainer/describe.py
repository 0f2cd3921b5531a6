"""Describe a run without training: its network in numbers, and its settings in words."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from .config import TrainConfig
from .data.array_words import classes_in_words, in_headers, numbers_in_words
from .data.arrays import array_files
from .data.colours import Colours
from .data.inspection import contact_sheet, in_words, looks
from .data.load import ImageData, listed, load_images, planned_cache, source_of, to_download
from .errors import InputError
from .network.autoencoder import latent_shape
from .network.networks import build_network
from .network.size import levels, multiply_adds
from .quality.features import extractor
from .quality.preview import save_png
from .run.autoencoder import read_autoencoder
from .run.codec import Codec
from .run.directory import RunDirectory
from .run.lock import in_use, is_held
from .run.teacher import read_teacher
from .run.weights import initial_weights, teacher_network
from .training.admission import check_run_directory, check_steps, same_data
from .training.cluster import cluster_from_environment
from .training.replicas import check_batch

# Weights, gradients, their average and Adam's two moments, all float32.
_BYTES_PER_PARAMETER = 5 * 4
# Arrays that take more are described by the header of their file alone.
_MOST_BYTES_READ = 2**28


class Plan(NamedTuple):
    """What `train` would do, as text, and the reasons for which it would refuse."""

    text: str
    refusals: list[str]


def describe(run_dir: Path, config: TrainConfig, **options: Any) -> str:
    """The text of `plan`."""
    return plan(run_dir, config, **options).text


def plan(
    run_dir: Path,
    config: TrainConfig,
    *,
    resume: str = "auto",
    download: bool = False,
    allow_data_change: bool = False,
) -> Plan:
    """The network as a table, the memory it needs, and what `train` would do."""
    network = build_network(config.network, dtype=config.precision, dropout=config.dropout)
    refusals: list[str] = []

    def tried(name: str, say: Callable[..., str], *arguments: Any) -> str:
        try:
            return f"{name:<10}{say(*arguments)}"
        except InputError as error:
            refusals.append(str(error))
            return f"{name:<10}would be refused: {error}"

    lines = [
        *_table(network, config),
        "",
        _memory(network, config),
        *_task(config),
        tried("data", _data, run_dir, config, download),
    ]
    reads = config.distill_from is None
    images: list[ImageData] = []
    if config.of_arrays and not refusals:
        lines += [tried("numbers", _numbers, run_dir, config, images)]
        lines += [f"classes   {text}" for text in map(classes_in_words, images) if text]
    elif reads and not refusals and not to_download(config, download=download):
        lines += [tried("pixels", _pixels, run_dir, config, images)]
        lines += _found(run_dir, config, *images)
    lines += [
        *_recipe(config),
        tried("device", _place, config),
        *([tried("KID", _features, config)] if config.kid_every_steps else []),
        tried("run", _state, run_dir, config, resume, network, allow_data_change, *images),
    ]
    return Plan("\n".join(lines), refusals)


def _table(network: keras.Model, config: TrainConfig) -> Iterator[str]:
    rows = levels(network)
    convolutions = sum(level.convolutions for level in rows)
    total = ("all", "", convolutions, network.count_params(), multiply_adds(network))
    yield _line(config.samples, "channels", "convolutions", "parameters", "multiply-adds")
    yield from (_line(*row[:5]) for row in (*rows, total))


def _line(*cells: str | int) -> str:
    texts = [cell if isinstance(cell, str) else f"{cell:,}" for cell in cells]
    return "{:>9}{:>10}{:>14}{:>13}{:>17}".format(*texts)


def _memory(network: keras.Model, config: TrainConfig) -> str:
    size = 4 if config.precision == "float32" else 2
    together = config.batch_size // config.accumulation_steps
    # A student's gradient goes through all its steps, and one more prediction.
    evaluations = max(config.student_steps, default=0) + 1
    values_mb = sum(level.values for level in levels(network)) * together * size / 1e6
    values_mb *= evaluations
    state_mb = network.count_params() * _BYTES_PER_PARAMETER / 1e6
    return (
        f"memory    {state_mb:,.0f} MB for weights, gradients, average and Adam's moments; "
        f"up to {values_mb:,.0f} MB for what {together} {config.samples} leave in the network"
    )


def _task(config: TrainConfig) -> Iterator[str]:
    """The task and what its network is given; nothing for drawing pictures."""
    if config.task == "autoencoder":
        shapes = config.network.shape, latent_shape(config.network)
        yield "task      autoencoder, {} to {}".format(*("×".join(map(str, x)) for x in shapes))
    if config.latents is not None:
        shape = "×".join(map(str, config.array_shape or ()))
        yield f"latents   {shape}, of the autoencoder {config.latents}"
    if config.task == "super_resolution":
        small = config.image_size // (config.factor or 1)
        sizes = f", {small}×{small} to {config.image_size}×{config.image_size}"
    else:
        sizes = ""
    if given := ", ".join(map(str, config.conditions)):
        yield f"task      {config.task}{sizes}; the network is given {given}"


def _data(run_dir: Path, config: TrainConfig, download: bool) -> str:
    if config.distill_from is not None:
        return _lessons(config)
    split = f", {config.split}" if config.split else ""
    held_out = f", {config.eval_split} held out" if config.eval_split else ""
    labels = f", labels of {config.labels}" if config.labels else ""
    fit = "" if config.fit == "crop" else f", fit={config.fit}"
    cache = planned_cache(config.pictures, download=download, run=RunDirectory(run_dir))
    if config.of_arrays:
        held_out = f"{held_out}: {in_headers(array_files(config))}"
    return f"{config.data}{split}{held_out}{labels}{fit}\ncache     {cache}"


def _lessons(config: TrainConfig) -> str:
    """What a student learns, and from whom."""
    teacher = read_teacher(Path(config.distill_from or ""))
    counts = ", ".join(map(str, config.student_steps))
    low, high = config.guidance_range or (1.0, 1.0)
    guidance = f" at guidance {low:g} to {high:g}" if config.guidance_range else ""
    with_tables = " with its learned tables" if teacher.tables else ""
    return f"seeds alone: in {counts} steps what {teacher.source} draws{with_tables}{guidance}"


def _pixels(run_dir: Path, config: TrainConfig, images: list[ImageData]) -> str:
    """The statistics of the images, which are appended to the list.

    Raises InputError for pictures that `train` would refuse.
    """
    images.append(_images(run_dir, config))
    run = RunDirectory(run_dir)
    known = run.has_config and config.latents is None
    summary = run.read_config()[1] if known else images[0].summary()
    numbers = summary.pixel_mean, summary.pixel_std
    mean, std = (" ".join(f"{each:.2f}" for each in of_channels) for of_channels in numbers)
    colour = "in grey" if len(summary.pixel_mean) == 1 else "in colour"
    return f"{colour}, of mean {mean} and deviation {std}"


def _numbers(run_dir: Path, config: TrainConfig, images: list[ImageData]) -> str:
    """Range and statistics of the arrays, which are appended to the list, unless they are large.

    Raises InputError for numbers that `train` would refuse.
    """
    if (size := array_files(config).memory_bytes) > _MOST_BYTES_READ:
        return f"not read, since they take {size / 1e9:,.1f} GB"
    images.append(load_images(config))
    run = RunDirectory(run_dir)
    summary = run.read_config()[1] if run.has_config else images[0].summary()
    count, held_out = images[0].counts
    words = numbers_in_words(images[0].train, summary.pixel_mean, summary.pixel_std)
    return f"{words}; {count:,} to train on, {held_out:,} held out"


def _images(run_dir: Path, config: TrainConfig) -> ImageData:
    """What `train` would read, without a cache on disk."""
    cache = "none" if config.data.startswith("folder:") else "memory"
    return load_images(replace(config.pictures, cache=cache), run=RunDirectory(run_dir))


def _found(run_dir: Path, config: TrainConfig, images: ImageData | None = None) -> Iterator[str]:
    """What a look at the pictures finds; nothing of data that cannot be read at all."""
    with contextlib.suppress(InputError):
        colours = images.colours(config) if images else Colours(levels=config.levels)
        source = source_of(config.pictures, RunDirectory(run_dir))
        found = looks(source, config.pictures, colours)
        for name, text in in_words(found, config):
            yield f"{name:<10}{text}"


def write_contact_sheet(path: Path, run_dir: Path, config: TrainConfig) -> None:
    """Write a PNG of the first 64 images that `train` would show the network.

    Raises InputError for data that `train` would refuse, and OSError for a file that cannot be
    written.
    """
    save_png(contact_sheet(_images(run_dir, config), config.pictures), path)


def _recipe(config: TrainConfig) -> Iterator[str]:
    count = config.train_steps * config.batch_size
    yield (
        f"steps     {config.train_steps:,} of {config.batch_size} {config.samples}, "
        f"{count:,} in all{_process(config)}"
    )
    yield (
        f"Adam      learning rate {config.learning_rate:g} after {config.warm_up_steps:,} steps, "
        f"then {config.learning_rate_decay}; weight decay {config.weight_decay:g}, "
        f"gradients clipped to {config.gradient_clip_norm:g}; dropout {config.dropout:g}"
    )


def _process(config: TrainConfig) -> str:
    """What is learned of noise; nothing for an autoencoder."""
    if config.task == "autoencoder":
        return ""
    return (
        f"; prediction {config.prediction}, schedule {config.schedule}, "
        f"loss weighting {config.loss_weighting}, times {config.time_sampling}"
    )


def _place(config: TrainConfig) -> str:
    hardware = tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("CPU")
    devices = [device.name.removeprefix("/physical_device:") for device in hardware]
    place = devices[0] if config.distribute == "none" else ", ".join(devices)
    if config.distribute == "mirrored":
        check_batch(config.batch_size, len(devices), config.accumulation_steps)
    if config.distribute == "multi_worker":
        cluster = cluster_from_environment()
        workers = f"{len(cluster.workers)} ({', '.join(cluster.workers)})"
        place = f"{place} of worker {cluster.index} in {workers}"
    return f"{place} in {config.precision}"


def _features(config: TrainConfig) -> str:
    return (
        f"by the features of {extractor(Path(config.kid_weights) if config.kid_weights else None)}"
    )


def _state(
    run_dir: Path,
    config: TrainConfig,
    resume: str,
    network: keras.Model,
    allow_data_change: bool,
    images: ImageData | None = None,
) -> str:
    run = RunDirectory(run_dir)
    exists = check_run_directory(run, config, resume)
    known = images if config.of_arrays else listed(config.pictures, run)
    if exists and known:
        same_data(run, config, known, allow_change=allow_data_change)
    if is_held(run.lock):
        raise InputError(in_use(run.lock))
    (*_, newest) = [0, *(run.checkpoint_steps() if exists else [])]
    check_steps(config, newest)
    if config.init_from and not newest:
        initial_weights(Path(config.init_from), config, network)
    if config.distill_from is not None:
        teacher_network(read_teacher(Path(config.distill_from)))
    if config.latents is not None:
        Codec(read_autoencoder(Path(config.latents), run))
    if newest:
        return f"{run_dir} would go on from step-{newest}"
    source = config.init_from or config.distill_from
    begun = f", with the weights of {source}" if source else ""
    return f"{run_dir} would begin{begun}"
