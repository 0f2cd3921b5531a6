"""The teacher of a student: a run, or a bundle of one with its SavedModel."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..config import TrainConfig
from ..errors import InputError
from .directory import RunDirectory
from .records import DataSummary, read_json


class Teacher(NamedTuple):
    """What is known of a teacher; `tables` are the JSON values of those that it draws with."""

    source: Path
    config: TrainConfig
    data: DataSummary
    tables: Mapping[str, Any] | None


def read_teacher(source: Path) -> Teacher:
    """The teacher in a run directory or a bundle, without its weights: a cascade's first stage.

    A run may hold a tables.json that diffkiln-export learned. Raises InputError for a folder that
    is neither, for a run without weights, for a bundle of a network that diffkiln did not train,
    for a student, and for a network that draws arrays.
    """
    is_bundle = (source / "bundle.json").is_file()
    teacher = _of_bundle(source) if is_bundle else _of_run(source)
    if teacher.config.distill_from is not None or teacher.config.data == "seeds":
        raise InputError(f"distill_from={source}: is a student itself; give its teacher")
    return teacher


def _of_run(source: Path) -> Teacher:
    run, tables = RunDirectory(source), source / "tables.json"
    config, data = run.read_config()
    if config.array_shape is not None:
        raise _draws(source, "latents" if config.latents else "arrays")
    run.require_weights("distill_from")
    return Teacher(source, config, data, read_json(tables) if tables.is_file() else None)


def _draws(source: Path, kind: str) -> InputError:
    problem = f"draws {kind}, and only networks that draw pictures can be distilled"
    return InputError(f"distill_from={source}: {problem}; give another")


def _of_bundle(source: Path) -> Teacher:
    manifest = read_json(source / "bundle.json")
    # Before the settings, which say of latents neither what they are nor where they come from.
    for entry, kind in (("latent", "latents"), ("array", "arrays")):
        if entry in manifest:
            raise _draws(source, kind)
    try:
        record, model = manifest["training"], manifest["model"]
        settings = {"data_dir": None, **record["settings"]}
        if settings["data"] in ("folder", "npz"):
            settings["data"] += ":."
        config = TrainConfig.from_json(settings)
        pixels = {name: manifest[name] for name in ("pixel_mean", "pixel_std")}
        of_data = {name: record[name] for name in ("fingerprint", "images")}
        names = model.get("class_names", ())
        data = DataSummary.from_json({**of_data, **pixels, "eval_images": 0, "class_names": names})
    except (KeyError, TypeError, ValueError, InputError) as error:
        problem = f"is not of a run of diffkiln-train ({error})"
        raise InputError(f"distill_from={source}: {problem}; give such a run or bundle") from error
    return Teacher(source, config, data, manifest["sampler"].get("tables"))
