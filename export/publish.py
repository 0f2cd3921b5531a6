"""Where a bundle may be put, and putting it there whole or not at all."""

import contextlib
import shutil
import signal
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

from ..runtime.bundle.manifest import MANIFEST
from ..runtime.output.atomic import atomic
from ..trainer.errors import InputError


def check_bundle_path(bundle: Path, *, overwrite: bool) -> None:
    """Raise InputError where a bundle cannot be put at this path."""
    if not bundle.absolute().parent.is_dir():
        raise InputError(
            f"bundle={bundle}: expected a path in an existing folder; make {bundle.parent} first"
        )
    if not bundle.exists():
        return
    if not overwrite:
        raise InputError(f"bundle={bundle}: exists; add --overwrite, or choose another path")
    # --overwrite must never cost anyone a folder of something else.
    if not (bundle / MANIFEST).is_file():
        raise InputError(f"bundle={bundle}: exists and is not a bundle; choose another path")


# An exception that a signal raises while native code calls back is lost; this is not.
_terminated = threading.Event()


def terminate(*_: object) -> None:
    """End the process with the status of SIGTERM, at the latest before a bundle is published."""
    _terminated.set()
    raise SystemExit(128 + signal.SIGTERM)


@contextlib.contextmanager
def published(bundle: Path) -> Iterator[Path]:
    """Give a temporary sibling folder to fill, which becomes the bundle at the end or is removed.

    An older bundle steps aside only while the new one is renamed, and comes back if that fails.
    Raises OSError, which names the bundle, where something cannot be written.
    """
    older = bundle.with_name(f".{uuid.uuid4().hex}.old")
    try:
        with atomic(bundle) as part:
            part.mkdir()
            yield part
            if _terminated.is_set():
                terminate()
            if bundle.exists():
                bundle.rename(older)
    finally:
        if older.exists() and not bundle.exists():
            older.rename(bundle)
        shutil.rmtree(older, ignore_errors=True)
