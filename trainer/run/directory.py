"""The run directory: what a training run leaves behind, and what export reads.

config.json       settings, schema version, package versions, what the data was, earlier runs
checkpoints/      resumable state
ema.weights.h5    the averaged weights;  best.weights.h5 and best.json are for the best step
samples/*.png     preview grids;  metrics.csv and logs/ the numbers
cache/            decoded images of --cache=disk, which may be removed at any time between commands
lock.json         the job that writes here at the moment
"""

import contextlib
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py

from ..config import TrainConfig
from ..errors import InputError
from .atomic import replacing

SCHEMA_VERSION = 1
_STEP = "step"
_PACKAGES = ("diffkiln", "tensorflow", "keras", "numpy", "tensorflow-datasets")


@dataclass(frozen=True)
class DataSummary:
    """The data of a run, with pixel statistics per channel where pixels lie in [0, 1].

    `fingerprint` is the SHA-256 of all pixels in order, for training and then for evaluation; for a
    folder it is "files-" and the SHA-256 of the paths and sizes of its files. Evaluation may use
    fewer than `eval_images`. `class_names` are the classes that the network learns.
    `reading_version` says by which rules the pictures of a folder were chosen.
    """

    fingerprint: str
    images: int
    eval_images: int
    pixel_mean: tuple[float, ...]
    pixel_std: tuple[float, ...]
    class_names: tuple[str, ...] = ()
    reading_version: int = 1


@dataclass(frozen=True)
class Best:
    """The saved step whose averaged weights have the lowest `measure`.

    The measure is `eval_loss`, on held-out images, or `kid`, by the features of `extractor`.
    """

    step: int
    eval_loss: float | None
    measure: str = "eval_loss"
    kid: float | None = None
    extractor: str | None = None

    def beats(self, other: "Best | None") -> bool:
        """Whether this step is better; another measure or extractor starts the choice again."""
        if other is None or (other.measure, other.extractor) != (self.measure, self.extractor):
            return True
        return getattr(self, self.measure) < getattr(other, self.measure)


class RunDirectory:
    """The files of a run by name, as the docstring above lists them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.checkpoints = path / "checkpoints"
        self.ema_weights = path / "ema.weights.h5"
        self.best_weights = path / "best.weights.h5"
        self.best = path / "best.json"
        self.samples = path / "samples"
        self.metrics = path / "metrics.csv"
        self.logs = path / "logs"
        self.cache = path / "cache"
        self.lock = path / "lock.json"

    @property
    def is_new(self) -> bool:
        """Whether there is no run here: nothing, or what a job makes before its first step."""
        if not self.path.is_dir():
            return not self.path.exists()
        return all(path in (self.cache, self.lock) for path in self.path.iterdir())

    @property
    def reading_version(self) -> int | None:
        """The rules by which the run reads a folder, None before it has begun."""
        return self.read_config()[1].reading_version if self.config.exists() else None

    def make(self) -> None:
        """Make the folders; raises InputError if nothing can be written there."""
        try:
            for folder in (self.path, self.samples, self.checkpoints):
                folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            problem = f"cannot be written to ({error.strerror}); choose another folder"
            raise InputError(f"run_dir={self.path}: {problem}") from error

    def write_config(
        self, config: TrainConfig, data: DataSummary, earlier: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Write config.json, whole or not at all.

        Package versions and `earlier` runs (records of lineage.py) stay those of the run's start.
        """
        before = _read_json(self.config) if self.config.exists() else {}
        content = {
            "schema_version": SCHEMA_VERSION,
            "settings": config.to_json(),
            "data": asdict(data),
            "versions": before.get("versions") or package_versions(_PACKAGES),
            "earlier": before.get("earlier") or list(earlier),
        }
        _write_json(self.config, content)

    def write_best(self, best: Best) -> None:
        """Write best.json, whole or not at all."""
        _write_json(self.best, asdict(best))

    def read_best(self) -> Best | None:
        """The best step so far, None before there is one."""
        if not self.best.exists():
            return None
        try:
            return Best(**_read_json(self.best))
        except TypeError as error:
            problem = f"not as diffkiln-train writes it ({error}); remove the file"
            raise InputError(f"{self.best}: {problem}") from error

    def read_step(self) -> int:
        """The step of the averaged weights, 0 if there are none or they do not say."""
        try:
            with h5py.File(self.ema_weights) as file:
                return int(file.attrs.get(_STEP, 0))
        except OSError:
            return 0

    def read_earlier(self) -> list[dict[str, Any]]:
        """The records of the runs whose weights this one began with, oldest first."""
        return _read_json(self.config).get("earlier", [])

    def read_config(self) -> tuple[TrainConfig, DataSummary]:
        """The settings and data of an existing run.

        Raises InputError if this is not a run directory, or has another schema version.
        """
        content = _read_json(self.config)
        version = content.get("schema_version")
        if version != SCHEMA_VERSION:
            expected = f"expected {SCHEMA_VERSION}; use the version of diffkiln that trained it"
            raise InputError(f"{self.config}: schema_version is {version}, {expected}")
        try:
            data = dict(content["data"])
            for name in ("pixel_mean", "pixel_std"):
                data[name] = tuple(float(value) for value in data[name])
            data["class_names"] = tuple(str(name) for name in data.get("class_names", ()))
            data["reading_version"] = int(data.get("reading_version", 1))
            return TrainConfig.from_json(content["settings"]), DataSummary(**data)
        except InputError as error:
            raise InputError(f"{self.config}: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problem = f"not as diffkiln-train writes it ({error!r}); restore the file"
            raise InputError(f"{self.config}: {problem}") from error


def write_step(weights: Path, step: int) -> None:
    """Note the step in a file of `save_weights`, since the file may be passed on by itself."""
    with h5py.File(weights, "a") as file:
        file.attrs[_STEP] = step


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n")


def _read_json(path: Path) -> dict[str, Any]:
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: no such folder; expected the --run_dir of diffkiln-train")
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        expected = "expected the --run_dir of diffkiln-train"
        raise InputError(f"{path.parent}: holds no config.json; {expected}") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); restore the file") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object; restore the file")
    return content


def package_versions(packages: Iterable[str]) -> dict[str, str | None]:
    """The installed version of each package, None for one that is not installed."""
    versions: dict[str, str | None] = dict.fromkeys(packages)
    for name in versions:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
