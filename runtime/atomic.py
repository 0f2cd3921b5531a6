"""Output that is there whole or not at all: written under another name, then moved.

The temporary name is made with os.urandom and plain open or mkdir, not with tempfile, whose files
only their owner may read.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path to write to; on success it becomes `path`, on any exception it is removed."""
    target = Path(path)
    temporary = _sibling(target)
    try:
        yield temporary
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _not_written(target, error) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give an empty folder to fill; on success it becomes `path`, on any exception it is removed.

    `path` may be there already as an empty folder; otherwise FileExistsError is raised at once.
    """
    target = Path(path).resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(
            f"{target} exists already, expected a new or empty folder; choose another path"
        )
    temporary = _sibling(target)
    try:
        temporary.mkdir()
        yield temporary
        if target.exists():
            target.rmdir()  # Windows does not move a folder onto an empty one
        temporary.rename(target)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise _not_written(target, error) from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _sibling(target: Path) -> Path:
    """Make a hidden name beside `target`: a move within one folder is atomic."""
    return target.parent / f".{os.urandom(8).hex()}.tmp"


def _not_written(target: Path, error: OSError) -> OSError:
    """Name the file that was asked for, not the temporary one."""
    return OSError(
        f"{target} could not be written: {error.strerror or error}; check the free space and the "
        "permissions there"
    )
