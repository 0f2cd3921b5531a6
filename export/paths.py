"""Where a bundle may be written; checked before anything slow is imported or made."""

from pathlib import Path

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
    if not (bundle / "bundle.json").is_file():
        raise InputError(f"bundle={bundle}: exists and is not a bundle; choose another path")
