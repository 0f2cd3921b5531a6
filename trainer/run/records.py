"""What a run records in JSON: its data, its best step, and how such files are read and written."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from .atomic import write_text


@dataclass(frozen=True)
class DataSummary:
    """The data of a run, with pixel statistics per channel where pixels lie in [0, 1].

    Those of arrays are for each entry of the last axis, in the units of the data. `fingerprint` is
    the SHA-256 of all pixels in order, for training and then for evaluation; for a folder it is
    "files-" and the SHA-256 of the paths and sizes of its files; for arrays it is of the numbers
    and labels, in the order of the file. Evaluation may use fewer than `eval_images`. `class_names`
    are the classes that the network learns.
    `reading_version` says by which rules the pictures of a folder were chosen.
    """

    fingerprint: str
    images: int
    eval_images: int
    pixel_mean: tuple[float, ...]
    pixel_std: tuple[float, ...]
    class_names: tuple[str, ...] = ()
    reading_version: int = 1

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "DataSummary":
        """The summary that `asdict` made; raises KeyError, TypeError or ValueError for another."""
        data = dict(content)
        for name in ("pixel_mean", "pixel_std"):
            data[name] = tuple(float(value) for value in data[name])
        data["class_names"] = tuple(str(name) for name in data.get("class_names", ()))
        data["reading_version"] = int(data.get("reading_version", 1))
        return cls(**data)


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

    def to_json(self) -> str:
        """The text of best.json."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Best":
        """The record that `to_json` wrote; raises ValueError for another text."""
        try:
            best = cls(**json.loads(text))
            value = getattr(best, {"eval_loss": "eval_loss", "kid": "kid"}[best.measure])
            if isinstance(best.step, int) and isinstance(value, int | float):
                return best
        except (TypeError, KeyError) as error:
            raise ValueError(f"not as diffkiln-train writes it ({error})") from error
        raise ValueError(f"not as diffkiln-train writes it ({best})")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; InputError if there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not JSON ({error}); restore the file") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object; restore the file")
    return content
