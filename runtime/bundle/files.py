"""Finds and opens the files of a bundle, none of which may lie outside of it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import BundleError
from .manifest import COPY_AGAIN, EXPORT_AGAIN, MANIFEST


def located(root: Path, name: str) -> Path:
    """Return the path of a regular file in the bundle at `root`.

    BundleError if it is missing, something else, or reached by a link that leads out of the bundle.
    """
    file = root / name
    try:
        target, whole, regular = file.resolve(), root.resolve(), file.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        raise _unreadable(file, error) from error
    if not target.is_relative_to(whole):
        raise BundleError(
            f"{file} leads out of the bundle, to {target}; do not use this bundle, and "
            f"{EXPORT_AGAIN}"
        )
    # Neither a pipe nor a device is ever opened: it could go on for ever.
    if not regular:
        raise BundleError(f"{file} is missing, though {MANIFEST} lists it; {COPY_AGAIN}")
    return file


@contextlib.contextmanager
def opened(file: Path, *, size_bytes: int) -> Iterator[BinaryIO]:
    """Open a file for reading; BundleError if it has another size or cannot be read."""
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            # The size comes first, so that a truncated file is told apart from an altered one.
            if size != size_bytes:
                raise BundleError(
                    f"{file} has {size} bytes, expected {size_bytes}: "
                    f"{'truncated' if size < size_bytes else 'altered'}; {COPY_AGAIN}"
                )
            stream.seek(0)
            yield stream
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> BundleError:
    reason = getattr(error, "strerror", None) or error
    return BundleError(f"{file} cannot be read: {reason}; {COPY_AGAIN}")
