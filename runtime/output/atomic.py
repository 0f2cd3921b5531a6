"""Output that is there whole or not at all: written under another name, then moved."""

import contextlib
import os
import re
from collections.abc import Container, Iterator
from pathlib import Path

_NAMED = re.compile(r"\.(.+)-[0-9a-f]{16}\.tmp", re.DOTALL)


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str], *, named: bool = False) -> Iterator[Path]:
    """Give a path to make a file or a folder at; on success that becomes `path`.

    It takes the place of a file or an empty folder. On any exception it is removed, and an OSError
    names `path`. The caller makes it, not tempfile, whose files only their owner may read. With
    `named`, `remove_leftovers` finds what a process left that was killed.
    """
    target = Path(os.path.realpath(path))
    # A hidden name beside the target: a move within one folder is atomic. Without the target's
    # name, which may already be as long as a name can be.
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
            raise OSError(
                f"{path} could not be written: {error.strerror or error}; check the free space "
                "and the permissions there"
            ) from error
        raise


def remove_leftovers(folder: Path, names: Container[str]) -> None:
    """Remove half-written files of these names, which `atomic` with `named` began in `folder`."""
    for entry in os.scandir(folder):
        match = _NAMED.fullmatch(entry.name)
        if match and match[1] in names:
            Path(entry).unlink(missing_ok=True)
