"""The file of learned tables: for which model they are, and how near they come."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ...runtime.output.atomic import atomic
from ...trainer.errors import InputError, first_line
from ...trainer.maths.sampling import Sampling
from ...trainer.maths.tables import Tables

FORMAT, FORMAT_VERSION = "diffkiln-tables", 1
_LONGEST = 120

_AGAIN = "learn into another file, or give the one that belongs to this model"


@dataclass
class TableFile:
    """Tables by their counts of steps, as JSON values, and what they were learned for.

    `judged` has, by step count, the distances to the teacher at each guidance, with the table and
    without; a count that has them and no table was not better with one.
    """

    subject: Mapping[str, Any]
    guidance: list[float] | None = None
    by_steps: dict[str, Any] = field(default_factory=dict)
    judged: dict[str, Any] = field(default_factory=dict)
    teacher: dict[str, Any] = field(default_factory=dict)

    @property
    def tables(self) -> Tables | None:
        """The tables for a sampler; None where there is none."""
        if not self.by_steps:
            return None
        guidance = {} if self.guidance is None else {"guidance": self.guidance}
        return Tables.from_json({**guidance, "by_steps": self.by_steps})

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        content = {"format": FORMAT, "format_version": FORMAT_VERSION, **vars(self)}
        with atomic(path) as part:
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_tables(path: Path, subject: Mapping[str, Any]) -> TableFile:
    """The tables in a file; InputError unless they were learned for this subject."""
    try:
        file = _parsed(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        problem = "no such file; expected one that learning wrote"
        raise InputError(f"tables={path}: {problem}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"is not a file of learned tables ({first_line(error)})"
        raise InputError(f"tables={path}: {problem}; {_AGAIN}") from error
    for name, expected in subject.items():
        if (received := file.subject.get(name)) != expected:
            known = f"{name} {_shown(received)}, expected {_shown(expected)}"
            words = "other weights than this network's" if name == "weights" else known
            raise InputError(f"tables={path}: was learned for {words}; {_AGAIN}")
    return file


def _shown(value: Any) -> str:
    """A value in an error; a schedule may hold thousands of numbers."""
    return text if len(text := str(value)) <= _LONGEST else f"{text[:_LONGEST]}…"


def _parsed(content: Any) -> TableFile:
    """What JSON values say; an error of any kind where they are not a table file's."""
    if (content["format"], content["format_version"]) != (FORMAT, FORMAT_VERSION):
        raise ValueError(f"its format is {content['format']} {content['format_version']}")
    file = TableFile(**{name: content[name] for name in TableFile.__dataclass_fields__})
    if not isinstance(file.subject, dict) or not isinstance(file.judged, dict):
        raise TypeError("its entries have other types")
    if (file.guidance is None) != (file.subject["classes"] is None):
        raise ValueError("its guidance does not go with its classes")
    _ = file.tables  # refuses numbers that make no sampler
    return file


def subject_of(network: keras.Model, sampling: Sampling) -> dict[str, Any]:
    """What tables depend on, as JSON values: the weights, by their SHA-256, and their use."""
    digest = hashlib.sha256()
    for variable in network.variables:
        values = np.asarray(variable.numpy())
        digest.update(f"{values.dtype} {values.shape} ".encode())
        digest.update(values.tobytes())
    denoiser = sampling.denoiser
    own: Any = denoiser.network
    values = {
        "weights": digest.hexdigest(),
        "image": own.shape,
        "solver": sampling.solver,
        "prediction": denoiser.prediction,
        "conditioning": denoiser.conditioning,
        "schedule": denoiser.schedule.describe(),
        "pixel_mean": denoiser.pixel_mean,
        "pixel_std": denoiser.pixel_std,
        "clip": denoiser.clip,
        "classes": denoiser.num_classes,
        **({} if denoiser.first_timestep else {"first_timestep": 0}),
        **({"dynamic_threshold": share} if (share := denoiser.dynamic_threshold) else {}),
    }
    return json.loads(json.dumps(values))
