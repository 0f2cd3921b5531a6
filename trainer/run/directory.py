"""The run directory: what a training run leaves behind, and what export reads.

config.json       settings, schema version, package versions, what the data was, earlier runs, the
                  fingerprint of a latent model's autoencoder
checkpoints/      resumable state, and a copy of config.json
ema.weights.h5    the averaged weights;  best.weights.h5 and best.json are for the best step
samples/*.png     preview grids, or *.npz with arrays;  metrics.csv and logs/ the numbers
autoencoder/      config.json and ema.weights.h5 of a latent model's autoencoder
cache/            decoded images of --cache=disk, which may be removed at any time between commands
lock.json         the job that writes here at the moment
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from ..config import TrainConfig
from ..errors import InputError
from .atomic import MAKE_ROOM, is_full, write_text
from .average import attributes
from .records import Best, DataSummary, read_json, write_json

__all__ = ["Best", "DataSummary", "RunDirectory", "package_versions"]

SCHEMA_VERSION = 1
_PACKAGES = ("diffkiln", "tensorflow", "keras", "numpy", "tensorflow-datasets")
# What a queue or a shell puts into the folder in which a job is to run, and a new disk has.
_LOGS = re.compile(r".+\.(out|log|err|[oe]\d+)|\..*|lost\+found")


class RunDirectory:
    """The files of a run by name, as the docstring above lists them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.checkpoints = path / "checkpoints"
        self.config_copy = self.checkpoints / "config.json"
        self.ema_weights = path / "ema.weights.h5"
        self.best_weights = path / "best.weights.h5"
        self.best = path / "best.json"
        self.samples = path / "samples"
        self.metrics = path / "metrics.csv"
        self.logs = path / "logs"
        self.cache = path / "cache"
        self.lock = path / "lock.json"

    @property
    def autoencoder(self) -> "RunDirectory":
        """The copy of the autoencoder in the run of a latent model."""
        return RunDirectory(self.path / "autoencoder")

    @property
    def is_new(self) -> bool:
        """Whether there is no run here: nothing at all, or only what comes before a run's files.

        These are images decoded for it, the copy of an autoencoder, empty folders, hidden files,
        and the logs of its job.
        """
        if not self.path.is_dir():
            return not self.path.exists()
        return all(map(self._comes_before, self.path.iterdir()))

    def _comes_before(self, path: Path) -> bool:
        if path in (self.checkpoints, self.samples, self.logs):
            return path.is_dir() and not any(path.iterdir())
        known = (self.cache, self.lock, self.autoencoder.path)
        return path in known or _LOGS.fullmatch(path.name) is not None

    @property
    def has_config(self) -> bool:
        """Whether there is a config.json or its copy, whole or not."""
        return self.config.exists() or self.config_copy.exists()

    @property
    def config_is_damaged(self) -> bool:
        """Whether there is a config.json that cannot be read, but a copy that can."""
        if self.config.exists() and self.config_copy.exists():
            try:
                self._parsed(self.config)
            except InputError:
                return True
        return False

    @property
    def reading_version(self) -> int | None:
        """The rules by which the run reads a folder, None before it has begun."""
        return self.read_config()[1].reading_version if self.has_config else None

    def check_writable(self) -> None:
        """Raise InputError if the folder cannot be made or written to; leaves no trace."""
        place = self.path
        while not place.exists() and place != place.parent:
            place = place.parent
        if not place.is_dir():
            raise self._not_writable(f"{place} is not a folder")
        for folder in (place, self.checkpoints, self.samples, self.logs):
            if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
                raise self._not_writable(f"{folder} is read-only for this user")

    def make(self) -> None:
        """Make the folders; raises InputError if nothing can be written there."""
        try:
            for folder in (self.path, self.samples, self.checkpoints):
                folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            remedy = MAKE_ROOM if is_full(error) else "choose another folder"
            raise self._not_writable(error.strerror or str(error), remedy) from error

    def _not_writable(self, reason: str, remedy: str = "choose another folder") -> InputError:
        return InputError(f"run_dir={self.path}: cannot be written to ({reason}); {remedy}")

    def write_config(
        self,
        config: TrainConfig,
        data: DataSummary,
        earlier: Sequence[Mapping[str, Any]] = (),
        tables: Mapping[str, Any] | None = None,
        autoencoder: str | None = None,
    ) -> None:
        """Write config.json and its copy, each whole or not at all.

        Package versions, `earlier` runs (records of lineage.py) and the fingerprint of the
        `autoencoder` of a latent model stay those of the run's start.
        `tables` are those that a student is drawn with, as JSON values.
        Of data that has changed, `data_before` keeps the fingerprints and counts, oldest first.
        """
        before = self._read()[0] if self.has_config else {}
        replaced, summary = before.get("data", {}), asdict(data)
        names = ("fingerprint", "images", "eval_images")
        autoencoder = before.get("autoencoder_fingerprint") or autoencoder
        changed = replaced and replaced["fingerprint"] != data.fingerprint
        history = [{name: replaced[name] for name in names}] if changed else []
        history = [*before.get("data_before", []), *history]
        content = {
            "schema_version": SCHEMA_VERSION,
            "settings": config.to_json(),
            "data": summary,
            **({"data_before": history} if history else {}),
            "versions": before.get("versions") or package_versions(_PACKAGES),
            "earlier": before.get("earlier") or list(earlier),
            **({"tables": dict(tables)} if tables else {}),
            **({"autoencoder_fingerprint": autoencoder} if autoencoder else {}),
        }
        self.checkpoints.mkdir(exist_ok=True)
        for path in (self.config, self.config_copy):
            write_json(path, content)

    def write_best(self, best: Best) -> None:
        """Write best.json, whole or not at all."""
        write_text(self.best, best.to_json())

    def read_best(self) -> Best | None:
        """The best step so far, None before there is one.

        If best.json is damaged, best.weights.h5 says which step its weights are of.
        """
        texts = [attributes(self.best_weights).get("best", "")]
        with contextlib.suppress(FileNotFoundError, ValueError):
            texts.insert(0, self.best.read_text(encoding="utf-8"))
        if not self.best.exists():
            return None
        for text in texts:
            with contextlib.suppress(ValueError):
                return Best.from_json(text)
        return None

    def read_step(self, weights: str = "latest") -> int:
        """The step of the `latest` or `best` weights, 0 if there are none or they do not say."""
        file = self.best_weights if weights == "best" else self.ema_weights
        return int(attributes(file).get("step", 0))

    def is_judged(self, step: int) -> bool:
        """Whether the averaged weights are of this step, and were compared with the best ones."""
        return self.read_step() == step and bool(attributes(self.ema_weights).get("judged", True))

    def checkpoint_steps(self) -> list[int]:
        """The steps that have a checkpoint, in order."""
        names = (path.name for path in self.checkpoints.glob("step-*.index"))
        found = (re.fullmatch(r"step-(\d+)\.index", name) for name in names)
        return sorted(int(match[1]) for match in found if match)

    def require_checkpoint(self, resume: str) -> None:
        """Raise InputError if there is no checkpoint, and there must be one to go on from."""
        # A run that has averaged weights but no checkpoint has lost it.
        if (resume == "must" or self.ema_weights.exists()) and not self.checkpoint_steps():
            raise InputError(
                f"{self.checkpoints}: holds no checkpoint; expected the checkpoints of the run in "
                f"{self.path}; restore them, or choose another --run_dir"
            )

    def require_weights(self, setting: str) -> None:
        """Raise InputError without averaged weights, naming the setting that leads here."""
        if not self.ema_weights.exists():
            problem = "has no weights yet; let it train to its first checkpoint"
            raise InputError(f"{setting}={self.path}: {problem}")

    def read_earlier(self) -> list[dict[str, Any]]:
        """The records of the runs whose weights this one began with, oldest first."""
        return self._read()[0].get("earlier", [])

    def read_tables(self) -> dict[str, Any] | None:
        """The tables that a student is drawn with, as JSON values; None for other runs."""
        return self._read()[0].get("tables")

    def read_autoencoder_fingerprint(self) -> str | None:
        """What identifies the autoencoder of a latent model; None for others and older runs."""
        return self._read()[0].get("autoencoder_fingerprint")

    def read_record(self) -> dict[str, Any]:
        """What config.json holds, or its copy if that is damaged; raises as `read_config` does."""
        return self._read()[0]

    def read_config(self) -> tuple[TrainConfig, DataSummary]:
        """The settings and data of an existing run, from the copy if config.json is damaged.

        Raises InputError if this is not a run directory, or has another schema version.
        """
        return self._read()[1:]

    def _read(self) -> tuple[dict[str, Any], TrainConfig, DataSummary]:
        try:
            return self._parsed(self.config)
        except InputError:
            if self.config_copy.exists():
                return self._parsed(self.config_copy)
            raise

    def _parsed(self, path: Path) -> tuple[dict[str, Any], TrainConfig, DataSummary]:
        expected = "expected the --run_dir of diffkiln-train"
        if not self.path.is_dir():
            raise InputError(f"{self.path}: no such folder; {expected}")
        if not path.exists():
            raise InputError(f"{self.path}: holds no config.json; {expected}")
        content = read_json(path)
        version = content.get("schema_version")
        if version != SCHEMA_VERSION:
            expected = f"expected {SCHEMA_VERSION}; use the version of diffkiln that trained it"
            raise InputError(f"{path}: schema_version is {version}, {expected}")
        try:
            data = DataSummary.from_json(content["data"])
            return content, TrainConfig.from_json(content["settings"]), data
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problem = f"not as diffkiln-train writes it ({error!r}); restore the file"
            raise InputError(f"{path}: {problem}") from error


def package_versions(packages: Iterable[str]) -> dict[str, str | None]:
    """The installed version of each package, None for one that is not installed."""
    versions: dict[str, str | None] = dict.fromkeys(packages)
    for name in versions:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
