"""Whether a run is in grey or in colour, where its settings do not say."""

import logging

import numpy as np
from numpy.typing import NDArray

from ..config import TrainConfig
from ..run.directory import RunDirectory
from .listing import Listing
from .ordered import OrderedImages
from .pictures import survey

_LOGGER = logging.getLogger("diffkiln.trainer")
# More images would hardly change the statistics of a folder, and delay the first step.
_SAMPLE = 1024
# A 16-bit picture without a level above this is suspected to hold fewer bits.
_FEW_LEVELS = 2**14


def channels_of(
    source: Listing | OrderedImages, config: TrainConfig, run: RunDirectory | None, version: int
) -> int:
    """`config.channels`, or what the run began with; for a new run, 1 if its images are grey."""
    if run and run.has_config:
        return config.channels or run.read_config()[0].channels or 3
    if version == 1:
        chosen = 3
    elif isinstance(source, Listing):
        chosen = 1 if _is_grey(source, config) else 3
    else:
        chosen = source.channels
    return config.channels or chosen


def _is_grey(listing: Listing, config: TrainConfig) -> bool:
    """Whether all readable pictures of the sample are grey.

    Warns if their levels are those of fewer bits: data of 10 to 14 bits is often kept in files of
    16, and is nearly black if it is read as such.
    """
    highest: list[int] = []
    readable = False
    for index in sampled(len(listing.names), config).tolist():
        try:
            path = listing.folder / listing.names[index]
            grey, level = survey(path, listing.formats, config.levels, config.fit)
        except (OSError, ValueError):
            continue
        if not grey:
            return False
        readable = True
        highest += [] if level is None else [level]
    if highest and max(highest) < _FEW_LEVELS and not config.levels:
        white = 2 ** max(max(highest).bit_length(), 8) - 1
        problem = f"{len(highest):,} pictures of 16 bits have no level above {max(highest):,}"
        _LOGGER.warning("%s; if white is %d, give --levels=0,%d", problem, white, white)
    return readable


def sampled(count: int, config: TrainConfig) -> NDArray[np.int64]:
    """The pictures of a folder from which its statistics come."""
    return np.sort(np.random.default_rng(config.seed).permutation(count)[:_SAMPLE])
