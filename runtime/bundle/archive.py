"""Reads the files of a bundle in a .zip where they are: nothing is ever unpacked to disk."""

import contextlib
import io
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ..checking.limits import MAX_EXPANSION, MAX_ZIP_DIRECTORY_BYTES
from ..errors import BundleError
from .files import unreadable
from .manifest import MANIFEST

_ENCRYPTED = 1  # the bit in an entry's flags
_ZIP_AGAIN = "pack the bundle's folder again, or unpack it and use the folder"


@contextlib.contextmanager
def opened_in_zip(root: Path, name: str) -> Iterator[tuple[IO[bytes], int]]:
    """Open the file `name` of the bundle in the .zip `root`, and say how many bytes it has.

    The bundle lies at the top of the .zip, or in the one folder there that holds a manifest.
    BundleError if the .zip is damaged, or the file missing, repeated, or packed in another way than
    deflate.
    """
    with contextlib.ExitStack() as stack:
        try:
            reader = stack.enter_context(_Reader(root))
            archive = stack.enter_context(zipfile.ZipFile(reader))
        # zipfile checks little: what is damaged also ends as a wrong offset, text or version.
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise unreadable(root, error) from error
        reader.most_bytes = sys.maxsize
        entry = _entry(archive, root, name)
        try:
            yield stack.enter_context(archive.open(entry)), entry.file_size
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise unreadable(root / name, error) from error


class _Reader(io.FileIO):
    """A file from which at most `most_bytes` are read at once.

    zipfile reads the list of all entries at once, whatever its size.
    """

    most_bytes = MAX_ZIP_DIRECTORY_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.most_bytes:
            raise zipfile.BadZipFile(f"its list of files has more than {self.most_bytes} bytes")
        return super().read(size)  # pyright: ignore[reportReturnType]


def _entry(archive: zipfile.ZipFile, root: Path, name: str) -> zipfile.ZipInfo:
    names = archive.namelist()
    inner = [one for one in names if one.count("/") == 1 and one.endswith(f"/{MANIFEST}")]
    folder = "" if MANIFEST in names or len(inner) != 1 else inner[0].removesuffix(MANIFEST)
    found = [entry for entry in archive.infolist() if entry.filename == folder + name]
    if not found:
        missing = f"holds no {MANIFEST}, at its top or in one folder"
        problem = missing if name == MANIFEST else f"lacks {name}, though {MANIFEST} lists it"
        raise BundleError(f"{root} {problem}; {_ZIP_AGAIN}")
    (entry, *others), file = found, root / name
    if others:
        raise BundleError(f"{file} is in the .zip {len(found)} times; {_ZIP_AGAIN}")
    if entry.flag_bits & _ENCRYPTED:
        raise BundleError(f"{file} is encrypted; {_ZIP_AGAIN}")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        method = f"method {entry.compress_type}"
        raise BundleError(f"{file} is packed by {method}, expected deflate (8); {_ZIP_AGAIN}")
    if entry.file_size > MAX_EXPANSION * entry.compress_size:
        sizes = f"{entry.compress_size} bytes to {entry.file_size}"
        expected = f"at most {MAX_EXPANSION} times as many"
        raise BundleError(f"{file} would grow from {sizes}, expected {expected}; {_ZIP_AGAIN}")
    return entry
