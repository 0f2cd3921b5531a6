"""The part of a big job that one of several processes does."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

MAX_SHARDS = 99_999


class Shard(NamedTuple):
    """Part `number` of `total` parts, counted from 1."""

    number: int
    total: int

    def part(self, seeds: np.ndarray) -> np.ndarray:
        """Return this part's seeds, consecutive ones of int64 [N]; none where there are too few.

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
        raise ValueError(
            f"expected a part and the number of parts like 3/16, at most {MAX_SHARDS} parts"
        )
    return Shard(number, total)
