"""Where a bundle may be put, and putting it there whole or not at all."""

import contextlib
import json
import os
import shutil
import signal
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

from ..runtime.bundle.manifest import MANIFEST
from ..runtime.output.folder import is_empty
from ..trainer.errors import InputError


def check_bundle_path(bundle: Path, *, overwrite: bool) -> None:
    """Raise InputError where a bundle cannot be put at this path."""
    if not bundle.absolute().parent.is_dir():
        raise InputError(
            f"bundle={bundle}: expected a path in an existing folder; make {bundle.parent} first"
        )
    place = bundle.absolute() if bundle.is_dir() else bundle.absolute().parent
    if not os.access(place, os.R_OK | os.W_OK | os.X_OK if bundle.is_dir() else os.W_OK):
        raise InputError(f"bundle={bundle}: {place} cannot be written to; choose another path")
    if (bundle / MANIFEST).is_file():
        if not overwrite:
            raise InputError(f"bundle={bundle}: exists; add --overwrite, or choose another path")
    # Neither an existing folder nor --overwrite may cost anyone a folder of something else.
    elif bundle.exists() and not (bundle.is_dir() and is_empty(bundle)):
        raise InputError(f"bundle={bundle}: exists and is not a bundle; choose another path")


# An exception that a signal raises while native code calls back is lost; this is not.
_terminated = threading.Event()


def terminate(number: int = signal.SIGTERM, *_: object) -> None:
    """End the process with the signal's status, at the latest before a bundle is published."""
    _terminated.set()
    raise SystemExit(128 + number)


@contextlib.contextmanager
def published(bundle: Path) -> Iterator[Path]:
    """Give a temporary folder to fill, which becomes the bundle at the end or is removed.

    It lies beside a new bundle. If there is a folder, it lies inside, and its files are moved at
    the end: that folder may be a mount, and keeps its mode and whatever is not a bundle's. Raises
    OSError, which names the bundle, where something cannot be written; if only the end fails, the
    temporary folder stays, and the OSError says where.
    """
    part = (bundle if bundle.exists() else bundle.parent) / f".{uuid.uuid4().hex}.tmp"
    complete = False
    try:
        part.mkdir()
        yield part
        if _terminated.is_set():
            terminate()
        complete = True
        if part.parent == bundle:
            _move_into(bundle, part)
        else:
            part.rename(bundle)
    except BaseException as error:
        remedy = "check the free space and the permissions there"
        if complete and isinstance(error, OSError):
            remedy = f"the complete bundle is {part}"
        else:
            shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError):
            problem = f"{bundle} could not be written: {error.strerror or error}"
            raise OSError(f"{problem}; {remedy}") from error
        raise


def _move_into(bundle: Path, part: Path) -> None:
    """Move the files of a new bundle into a folder, in the place of an older one's.

    The older ones step aside, and come back if anything fails. The manifest, which makes a folder
    a bundle, is the first to go and the last to come.
    """
    older = bundle / f".{uuid.uuid4().hex}.old"
    new = sorted((entry.name for entry in part.iterdir()), key=MANIFEST.__eq__)
    aside = sorted(_held_by(bundle) | {name for name in new if (bundle / name).exists()})
    aside.sort(key=MANIFEST.__ne__)
    moves = [(bundle / name, older / name) for name in aside]
    moves += [(part / name, bundle / name) for name in new]
    older.mkdir()
    try:
        for source, target in moves:
            source.rename(target)
    except BaseException:
        for source, target in reversed(moves):
            if target.exists() and not source.exists():
                target.rename(source)
        older.rmdir()
        raise
    part.rmdir()
    shutil.rmtree(older, ignore_errors=True)


def _held_by(bundle: Path) -> set[str]:
    """The names in a folder that belong to the bundle there, as far as its manifest can be read."""
    try:
        files = json.loads((bundle / MANIFEST).read_bytes())["files"]
        listed = {Path(name).parts[0] for name in files}
    except (OSError, ValueError, LookupError, TypeError):
        listed = set()
    return (listed | {MANIFEST}) & {entry.name for entry in bundle.iterdir()}
