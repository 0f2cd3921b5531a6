"""Damaged files of a run: set aside, named, and replaced by what is whole."""

import logging
from pathlib import Path

from .atomic import remove_parts, set_aside
from .average import is_whole
from .directory import RunDirectory
from .records import Best

logger = logging.getLogger("diffkiln.trainer")


def mend(run: RunDirectory) -> None:
    """Make a run's own files fit to go on with; each that was damaged is named in one line.

    Temporary files of killed processes are removed. The checkpoints and metrics.csv are not looked
    at: those who read them do so. No other process may use the run.
    """
    remove_parts(run.path)
    if run.config_is_damaged:
        _replace(run.config, f"{run.config_copy} takes its place")
    for weights in (run.ema_weights, run.best_weights):
        if weights.exists() and not is_whole(weights):
            _replace(weights, "the checkpoints have its weights")
    if run.best.exists() and not _is_best(run.best):
        best = run.read_best()
        known = f"the best step is still {best.step}" if best else "the choice begins again"
        _replace(run.best, known)
        if best:
            run.write_best(best)


def _replace(path: Path, consequence: str) -> None:
    aside = set_aside(path)
    logger.warning("%s was damaged; it is now %s, and %s", path, aside.name, consequence)


def _is_best(path: Path) -> bool:
    try:
        return bool(Best.from_json(path.read_text(encoding="utf-8")))
    except ValueError:
        return False
