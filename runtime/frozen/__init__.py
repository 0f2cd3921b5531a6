"""Tells PyInstaller, through an entry point, where the hook for diffkiln is."""

from pathlib import Path


def hook_dirs() -> list[str]:
    """Return the folder of the hook."""
    return [str(Path(__file__).parent)]
