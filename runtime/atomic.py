"""Output that is there whole or not at all: written under another name, then moved."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path to make a file or a folder at; on success that becomes `path`.

    It takes the place of a file or an empty folder. On any exception it is removed, and an OSError
    names `path`. The caller makes it, not tempfile, whose files only their owner may read.
    """
    target = Path(os.path.realpath(path))
    # A hidden name beside the target: a move within one folder is atomic.
    temporary = target.parent / f".{os.urandom(8).hex()}.tmp"
    try:
        yield temporary
        if temporary.is_dir() and target.exists():
            target.rmdir()  # Windows does not move a folder onto an empty one
        temporary.replace(target)
    except BaseException as error:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(
                f"{path} could not be written: {error.strerror or error}; check the free space "
                "and the permissions there"
            ) from error
        raise
