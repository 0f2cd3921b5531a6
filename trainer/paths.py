"""Paths as people write them."""

from pathlib import Path

from .errors import InputError


def local_path(name: str, text: str) -> str:
    """The path that a setting of this name gives, with the user's folder for ~.

    Raises InputError for a URL, since nothing but local files can be read and written.
    """
    if "://" in text:
        remedy = "mount the bucket or copy its files, and give the local path"
        raise InputError(f"{name}={text}: is a URL, expected a local path; {remedy}")
    try:
        return str(Path(text).expanduser()) if text.startswith("~") else text
    except RuntimeError:  # there is no such user, so ~name is a name like any other
        return text
