"""The files of averaged weights, in Keras's layout, and what they say of themselves."""

import hashlib
import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .atomic import replacing


class _Memory(io.BytesIO):
    """A file in memory, with the ending that Keras asks for."""

    def __str__(self) -> str:
        return "memory.weights.h5"


def write_average(path: Path, network: Any, **attributes: int | str | bool) -> None:
    """Write the weights of a Keras network, and attributes such as their step, whole or not at all.

    The file is made in memory, since HDF5 may crash the process when a disk is full.
    """
    memory = _Memory()
    network.save_weights(memory)
    with h5py.File(memory, "a") as file:
        file.attrs.update(attributes)
    with replacing(path) as part:
        part.write_bytes(memory.getbuffer())


def attributes(path: Path) -> dict[str, Any]:
    """The attributes of a file of `write_average`; none if it cannot be read."""
    try:
        with h5py.File(path) as file:
            return {name: _plain(value) for name, value in file.attrs.items()}
    except OSError:
        return {}


def weights_digest(path: Path) -> str | None:
    """The SHA-256 of the weights in a file of `write_average`; None if they cannot be read.

    Their names and order do not matter, since other versions of Keras have others.
    """
    digests: list[str] = []

    def add(_: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            values = np.asarray(item[()])
            told = f"{values.dtype} {values.shape} ".encode() + values.tobytes()
            digests.append(hashlib.sha256(told).hexdigest())

    try:
        with h5py.File(path) as file:
            file.visititems(add)
    except OSError:
        return None
    return hashlib.sha256(" ".join(sorted(digests)).encode()).hexdigest()


def is_whole(path: Path) -> bool:
    """Whether HDF5 can open a file, which it cannot if the file is cut."""
    try:
        h5py.File(path).close()
    except OSError:
        return False
    return True


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
