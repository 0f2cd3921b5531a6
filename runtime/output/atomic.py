"""Output that appears whole or not at all: written under another name, then moved."""

import contextlib
import os
import re
from collections.abc import Container, Iterator
from pathlib import Path

_NAMED = re.compile(r"\.(.+)-[0-9a-f]{16}\.tmp", re.DOTALL)


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str], *, named: bool = False) -> Iterator[Path]:
    """Give a temporary path for a file or a folder, which becomes `path` on success.

    It replaces a file or an empty folder. Any exception removes it, and an OSError then names
    `path`. The caller makes it, since only their owner may read the files of tempfile. With
    `named`, `remove_leftovers` finds it after its process was killed.
    """
    target = Path(os.path.realpath(path))
    # A hidden name beside the target, since a move within one folder is atomic; without the
    # target's name, which may already have the greatest length.
    prefix = f".{target.name}-" if named else "."
    temporary = target.parent / f"{prefix}{os.urandom(8).hex()}.tmp"
    try:
        yield temporary
        if temporary.is_dir() and target.exists():
            target.rmdir()  # Windows does not move a folder onto an empty one
        temporary.replace(target)
    except BaseException as error:
        if temporary.is_dir():
            import shutil

            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            remedy = "check the free space and the permissions there"
            problem = f"{path} could not be written: {error.strerror or error}"
            raise OSError(f"{problem}; {remedy}") from error
        raise


def remove_leftovers(folder: Path, names: Container[str]) -> None:
    """Remove half-written files of these names, begun in `folder` by `atomic` with `named`."""
    for entry in os.scandir(folder):
        match = _NAMED.fullmatch(entry.name)
        if match and match[1] in names:
            Path(entry).unlink(missing_ok=True)
