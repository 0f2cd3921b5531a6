"""Opens the files of a bundle, in a folder or in a .zip."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ..errors import BundleError
from .manifest import COPY_AGAIN, MANIFEST


@contextlib.contextmanager
def opened(root: Path, name: str) -> Iterator[tuple[IO[bytes], int]]:
    """Open a file of the bundle at `root`, and say how many bytes it has.

    BundleError if it is missing, not a regular file or cannot be read.
    """
    if root.is_file():
        from .archive import opened_in_zip  # whose imports a folder need not wait for

        with opened_in_zip(root, name) as opened_file:
            yield opened_file
        return
    file = located(root, name)
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            yield stream, size
    except OSError as error:
        raise unreadable(file, error) from error


def located(root: Path, name: str) -> Path:
    """Return the path of a regular file in the folder `root`, or of a link to one.

    A link may lead anywhere: what it leads to is checked like a file of the bundle. BundleError if
    the file is missing or something else.
    """
    file = root / name
    try:
        regular = file.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        raise unreadable(file, error) from error
    # Neither a pipe nor a device is ever opened: it could go on for ever.
    if not regular:
        raise BundleError(f"{file} is missing, though {MANIFEST} lists it; {COPY_AGAIN}")
    return file


def unreadable(file: Path, error: Exception) -> BundleError:
    """Return the error for a file that is there, with the reason and a remedy."""
    reason = getattr(error, "strerror", None) or error
    return BundleError(f"{file} cannot be read: {reason}; check its permissions, or {COPY_AGAIN}")
