"""The manifest against its JSON Schema, as the runtime checks it."""

from pathlib import Path
from typing import Any

from ..runtime.bundle.manifest import check_manifest as check
from ..runtime.errors import BundleError
from ..trainer.errors import InputError


def check_manifest(content: Any, path: Path) -> None:
    """Raise InputError that names the first entry which is not as the schema wants it."""
    try:
        check(content, path)
    except BundleError as error:
        raise InputError(str(error)) from error
