"""Paths as people write them."""

import os
from pathlib import Path


def local_path(path: str | os.PathLike[str]) -> Path:
    """Return a path, with the user's folder for ~; ValueError for a URL."""
    if "://" in os.fspath(path):
        raise ValueError("is a URL, expected a path on this machine")
    try:
        return Path(path).expanduser()
    except RuntimeError:  # there is no such user, so ~name is a name like any other
        return Path(path)
