"""Opens the files of a bundle, in a folder or in a .zip."""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True)
class ListedFile:
    """A file of the bundle at `root`, with the SHA-256 and the size that the manifest lists."""

    root: Path
    name: str
    sha256: str
    size_bytes: int

    @property
    def file(self) -> Path:
        """The path of the file."""
        return self.root / self.name

    def content(self) -> bytes:
        """Read the file; BundleError if it is missing or altered."""
        with opened(self.root, self.name) as (stream, size_bytes):
            self.require_size(size_bytes)
            content = stream.read(self.size_bytes)
        self.require_sha256(hashlib.sha256(content).hexdigest())
        return content

    def require_size(self, size_bytes: int) -> None:
        """BundleError for another size, which tells a truncated file apart from an altered one."""
        if size_bytes != self.size_bytes:
            raise BundleError(
                f"{self.file} has {size_bytes} bytes, expected {self.size_bytes}: "
                f"{'truncated' if size_bytes < self.size_bytes else 'altered'}; {COPY_AGAIN}"
            )

    def require_sha256(self, sha256: str) -> None:
        """BundleError unless this is the SHA-256 that the manifest lists."""
        if sha256 != self.sha256:
            raise BundleError(
                f"{self.file} was altered: its SHA-256 is {sha256}, expected {self.sha256}; "
                f"{COPY_AGAIN}"
            )


def unreadable(file: Path, error: Exception) -> BundleError:
    """Return the error for a file that is there, with the reason and a remedy."""
    reason = getattr(error, "strerror", None) or error
    return BundleError(f"{file} cannot be read: {reason}; check its permissions, or {COPY_AGAIN}")
