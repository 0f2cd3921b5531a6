"""What may be asked of an export; checked before anything slow is imported or made."""

from collections.abc import Sequence
from pathlib import Path

from ..trainer.errors import InputError

GRAPHS = ("sampler", "from_noise", "denoiser", "noise", "step")
IMAGE_DTYPES = ("uint8", "float32")
MANIFEST_NAME = "bundle.json"


def check_graphs(graphs: Sequence[str]) -> None:
    """Raise InputError for graphs that do not exist, or without the sampler."""
    if "sampler" not in graphs or set(graphs) - set(GRAPHS):
        raise InputError(
            f"graphs={','.join(graphs)}: expected sampler and any others of {', '.join(GRAPHS)}"
        )


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
    if not (bundle / MANIFEST_NAME).is_file():
        raise InputError(f"bundle={bundle}: exists and is not a bundle; choose another path")
