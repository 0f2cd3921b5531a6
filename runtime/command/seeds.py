"""The seeds of a job, and the part of them that one of several processes draws."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..engine.arguments import checked_seeds
from ..limits import MAX_COUNT, SEED_END
from .options import flag_errors

DEFAULT_COUNT = 16
MAX_SHARDS = 99_999


class Shard(NamedTuple):
    """Part `number` of `total` parts, counted from 1."""

    number: int
    total: int

    def part(self, seeds: np.ndarray) -> np.ndarray:
        """Return this part's seeds, consecutive ones of int64 [N]; none if there are too few.

        The parts in order are all seeds in order, and their lengths differ by one at most.
        """
        start, end = (len(seeds) * n // self.total for n in (self.number - 1, self.number))
        return seeds[start:end]

    def file(self, path: Path) -> Path:
        """Return this part's own file: out-00003-of-00016.npz for out.npz."""
        return path.with_name(f"{path.stem}-{self.number:05d}-of-{self.total:05d}{path.suffix}")

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"


def parse_shard(text: str) -> Shard:
    """Parse "3/16"; ValueError for anything but two whole numbers, 1 <= first <= second."""
    match = re.fullmatch("([0-9]{1,5})/([0-9]{1,5})", text)
    number, total = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= total:
        raise ValueError(f"expected a part and the parts' number like 3/16, at most {MAX_SHARDS}")
    return Shard(number, total)


def parse_seeds(text: str) -> np.ndarray:
    """Parse "3,7,9-12" as int64 [N], in this order: seeds and ranges of them, each seed once."""
    ranges = [re.fullmatch("([0-9]{1,19})(?:-([0-9]{1,19}))?", part) for part in text.split(",")]
    bounds = [(int(match[1]), int(match[2] or match[1])) for match in ranges if match]
    count = sum(end - start + 1 for start, end in bounds)
    if None in ranges or any(end < start or end >= SEED_END for start, end in bounds):
        raise ValueError(f"expected seeds like 3,7,9-12, each from 0 to {SEED_END - 1}")
    if count > MAX_COUNT:
        raise ValueError(f"has {count} seeds, expected at most {MAX_COUNT}")
    seeds = np.array([seed for start, end in bounds for seed in range(start, end + 1)], np.int64)
    if len(np.unique(seeds)) < count:
        raise ValueError("has a seed twice, expected each once")
    return seeds


def seeds_of(values: Mapping[str, Any], *, count: int | None = None) -> np.ndarray:
    """Return the seeds that the flags name, or `count` of them; only those of a --shard.

    They are int64 [N]. Raises UsageError for a --count or --seed out of range.
    """
    seeds, shard = values["seeds"], values["shard"]
    if seeds is None:
        with flag_errors():
            seeds = checked_seeds(count or count_of(values), None, values["seed"] or 0)
    return seeds if shard is None else shard.part(seeds)


def count_of(values: Mapping[str, Any]) -> int:
    """Return --count or its default, which is 1 for a picture to enlarge."""
    default = DEFAULT_COUNT if values["upscale"] is None else 1
    return default if values["count"] is None else values["count"]
