"""Files that appear whole or not at all: written under another name, then moved."""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Container, Iterator
from pathlib import Path

_NAMED = re.compile(r"\.(.+)-[0-9a-f]{16}\.tmp", re.DOTALL)


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str], *, named: bool = False) -> Iterator[Path]:
    """Give a temporary path for a file, which becomes `path` on success.

    An older file passes on its mode, group and owner. Any exception removes the temporary file,
    and an OSError then names `path`; but if only the move at the end fails, the file stays, and the
    OSError says where. The caller makes the file, since only their owner may read the files of
    tempfile. With `named`, `remove_leftovers` finds it after its process was killed.
    """
    target = Path(os.path.realpath(path))
    # A hidden name beside the target, since a move within one folder is atomic; without the
    # target's name, which may already have the greatest length.
    prefix = f".{target.name}-" if named else "."
    temporary = target.parent / f"{prefix}{os.urandom(8).hex()}.tmp"
    complete = False
    try:
        yield temporary
        complete = True
        _move(temporary, target)
    except BaseException as error:
        remedy = "check the free space and the permissions there"
        if complete and isinstance(error, OSError) and temporary.exists():
            remedy = f"the complete file is {temporary}"
        else:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            problem = f"{path} could not be written: {error.strerror or error}"
            raise OSError(f"{problem}; {remedy}") from error
        raise


def _move(temporary: Path, target: Path) -> None:
    if target.is_file():
        _pass_on(target.stat(), temporary)
    try:
        temporary.replace(target)
    except OSError as error:
        # A file that is mounted can be filled, but not replaced.
        if error.errno != errno.EBUSY or not target.is_file():
            raise
        import shutil

        shutil.copyfile(temporary, target)
        temporary.unlink()


def _pass_on(status: os.stat_result, file: Path) -> None:
    """Give a file the group, owner and mode of another, as far as this user and system may."""
    for ids in ((-1, status.st_gid), (status.st_uid, -1)):
        with contextlib.suppress(OSError, AttributeError):  # Windows has no owners
            os.chown(file, *ids)
    with contextlib.suppress(OSError):
        file.chmod(stat.S_IMODE(status.st_mode))


def remove_leftovers(folder: Path, names: Container[str]) -> None:
    """Remove half-written files of these names, begun in `folder` by `atomic` with `named`."""
    for entry in os.scandir(folder):
        match = _NAMED.fullmatch(entry.name)
        if match and match[1] in names:
            Path(entry).unlink(missing_ok=True)
