"""Files that are written whole or not at all."""

import contextlib
import errno
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

from ..errors import first_line

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PART = re.compile(r"\.[0-9a-f]{32}\..+")
MAKE_ROOM = (
    "make room, and give the same command again; a run's cache/, samples/ and logs/ may be removed"
)


class WriteError(OSError):
    """A file that could not be written; the message is one line with path, cause and remedy.

    `strerror` is the cause alone.
    """


def is_full(error: OSError) -> bool:
    """Whether an error says that there is no room on a disk, or no more for this user."""
    return error.errno in _FULL


def write_error(path: Path, error: Exception, what: str = "") -> WriteError:
    """The error for a path, or `what` in it, that Python or TensorFlow could not write."""
    if isinstance(error, WriteError):
        return error
    number = getattr(error, "errno", None)
    # TensorFlow has the system's words in the midst of its own.
    full = next((n for n in _FULL if n == number or os.strerror(n) in str(error)), None)
    reason = os.strerror(full) if full else getattr(error, "strerror", None) or first_line(error)
    remedy = MAKE_ROOM if full else "check the folder, and give the same command again"
    failure = WriteError(f"{path}: {what}could not be written ({reason}); {remedy}")
    failure.strerror = reason
    return failure


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary sibling to write. It replaces `path` at the end; after an error it is removed.

    Raises WriteError for an OSError.
    """
    part = path.with_name(f".{uuid.uuid4().hex}.{path.name}")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8, whole or not at all."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def remove_parts(folder: Path) -> None:
    """Remove the temporary files below a folder that processes left when they were killed."""
    for path in folder.rglob(".*"):
        if _PART.fullmatch(path.name):
            path.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Rename a damaged file, so that a whole one can take its place; returns its new path."""
    names = (f"{path.name}.damaged{number}" for number in ("", *range(2, 10**6)))
    aside = next(each for each in map(path.with_name, names) if not each.exists())
    return path.rename(aside)
