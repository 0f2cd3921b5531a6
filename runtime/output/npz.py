"""NumPy's .npz, written image by image: a million of them need no more memory than one batch."""

import json
import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .atomic import atomic, remove_leftovers
from .folder import require_same


def save_arrays(
    path: str | os.PathLike[str],
    name: str,
    batches: Iterable[np.ndarray],
    *,
    shape: tuple[int, ...],
    dtype: str,
    others: Mapping[str, np.ndarray],
    named: bool = False,
) -> None:
    """Write batches as the array `name` of a .npz, and `others` by name, whole or not at all.

    `shape` and `dtype` describe all batches together; `named` is as for `atomic`.
    """
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    with atomic(path, named=named) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array_header_1_0(file, header)
            for batch in batches:
                file.write(np.asarray(batch, dtype).tobytes())
        for other, array in others.items():
            with archive.open(f"{other}.npy", "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def is_finished(path: Path, settings: Mapping[str, Any], seeds: np.ndarray) -> bool:
    """Whether `path` holds the images of these seeds; False if it is missing or cut off.

    Half-written files of a killed process are removed. Raises ValueError if `path` holds anything
    else.
    """
    remove_leftovers(path.parent, {path.name})
    if not zipfile.is_zipfile(path):
        return False
    with np.load(path, allow_pickle=False) as arrays:
        if "settings" not in arrays or "seeds" not in arrays:
            raise ValueError("holds other arrays; choose another path")
        require_same(json.loads(str(arrays["settings"])), settings)
        if not np.array_equal(arrays["seeds"], seeds):
            raise ValueError("holds other seeds; use the same --count and --seed, or another path")
    return True
