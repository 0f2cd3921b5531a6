"""Whether a run may begin or go on: its folder, its settings, its steps and its data."""

from collections.abc import Sequence
from dataclasses import replace

from ..config import TrainConfig
from ..data.listing import Listing
from ..data.load import ImageData
from ..errors import InputError
from ..run.directory import DataSummary, RunDirectory


def check_run_directory(run: RunDirectory, config: TrainConfig, resume: str) -> bool:
    """Whether a run of these settings exists; raises InputError for a folder that is unusable."""
    run.check_writable()
    if run.is_new and resume != "must":
        return False
    if run.is_new:
        problem = "nothing to resume; expected an existing run"
    elif not run.has_config:
        problem = "exists and is not a run of diffkiln-train (no config.json); choose a new folder"
    elif resume == "never":
        problem = "holds a run already; choose a new folder"
    elif differences := "; ".join(run.read_config()[0].differences(config)):
        remedy = "give the same settings to go on, or choose a new folder"
        problem = f"holds a run of other settings ({differences}); {remedy}"
    else:
        run.require_checkpoint(resume)
        return True
    raise InputError(f"run_dir={run.path}: {problem}")


def check_steps(config: TrainConfig, first_step: int) -> None:
    """Raise InputError for a run that has done more steps than it is to have."""
    if first_step > config.train_steps:
        problem = f"the run is at step {first_step} already; give a larger number to go on"
        raise InputError(f"train_steps={config.train_steps}: {problem}")


def same_data(
    run: RunDirectory,
    config: TrainConfig,
    images: ImageData | Listing,
    *,
    allow_change: bool = False,
) -> DataSummary:
    """The summary that the run began with, of these images; InputError if they must not change."""
    before, counts = run.read_config()[1], images.counts
    # Older runs on a folder have a fingerprint of all pixels instead of its files.
    of_pixels = config.data.startswith("folder:") and not before.fingerprint.startswith("files-")
    names = images.class_names if config.num_classes else ()
    is_same = before.fingerprint == images.fingerprint or (of_pixels and before.images == counts[0])
    # Older runs have no names of classes.
    if is_same and before.class_names in ((), names):
        return before
    remedy = "restore the data, or choose a new folder"
    if before.class_names != names:
        problem = _change_of(before.class_names, names)
    elif not allow_change:
        problem = (
            f"{before.images} {config.samples}, fingerprint {before.fingerprint[:14]}, "
            f"not {counts[0]}, {images.fingerprint[:14]}"
        )
        remedy = f"give --allow_data_change to go on with the data as it is, {remedy}"
    else:
        changed = {"fingerprint": images.fingerprint, "images": counts[0], "eval_images": counts[1]}
        return replace(before, **changed)
    raise InputError(f"run_dir={run.path}: was trained on other data ({problem}); {remedy}")


def _change_of(before: Sequence[str], now: Sequence[str]) -> str:
    if sorted(before) == sorted(now):
        orders = (", ".join(names[:3]) for names in (now, before))
        return "its classes come in the order {} …, not {} …".format(*orders)
    gone, new = (sorted(set(before) - set(now)), sorted(set(now) - set(before)))
    names = f"gone: {', '.join(gone) or 'none'}; new: {', '.join(new) or 'none'}"
    return f"{len(before)} classes, not {len(now)}; {names}"
