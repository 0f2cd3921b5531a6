"""What may be asked of an export; checked before anything slow is imported or made."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from ..trainer.config import SOLVERS, TIME_GRIDS
from ..trainer.errors import InputError, check_choice

GRAPHS = ("sampler", "from_noise", "denoiser", "noise", "step")
MORE_GRAPHS = ("encode", "trajectory", "inpaint")
PRECISIONS = ("float32", "float16")
MAX_UNROLL_STEPS = 200
MAX_BATCH_SIZE = 4096
MAX_GUIDANCE = 100.0
MOST_NAME_CHARACTERS = 100
WEIGHTS = ("latest", "best")
IMAGE_DTYPES = ("uint8", "float32")
MANIFEST_NAME = "bundle.json"


class Baking(TypedDict, total=False):
    """How a model is baked, whatever it is; `export_bundle` says what each of these means."""

    solver: str
    eta: float
    time_grid: str
    clip: bool
    graphs: Sequence[str]
    image_dtype: str
    precision: str
    unroll_steps: int | None
    batch_size: int | None
    default_guidance: float | None
    saved_model: bool
    overwrite: bool


def check_baking(baking: Baking) -> None:
    """Raise InputError for settings out of range, or that do not go together."""
    solver, eta = baking.get("solver", "ddim"), baking.get("eta", 0.0)
    check_choice("solver", solver, SOLVERS)
    check_choice("time_grid", baking.get("time_grid", "linear"), TIME_GRIDS)
    check_choice("image_dtype", baking.get("image_dtype", "uint8"), IMAGE_DTYPES)
    check_choice("precision", baking.get("precision", "float32"), PRECISIONS)
    _check_eta(eta, solver)
    _check_graphs(baking.get("graphs", GRAPHS), inverts=solver == "ddim" and eta == 0)
    _check_unrolling(baking.get("unroll_steps"), baking.get("batch_size"))
    guidance = baking.get("default_guidance")
    if guidance is not None and not 0 <= guidance <= MAX_GUIDANCE:
        raise InputError(
            f"default_guidance={guidance:g}: expected a number from 0 to {MAX_GUIDANCE:g}"
        )


def _check_graphs(graphs: Sequence[str], *, inverts: bool) -> None:
    """Raise InputError for graphs that do not exist, or without the sampler.

    `inverts` says whether the solver is one whose steps encode can take back.
    """
    if "sampler" not in graphs or set(graphs) - {*GRAPHS, *MORE_GRAPHS}:
        raise InputError(
            f"graphs={','.join(graphs)}: expected sampler and any others of "
            f"{', '.join(GRAPHS + MORE_GRAPHS)}"
        )
    if "encode" in graphs and not inverts:
        raise InputError(
            "graphs=encode: only deterministic DDIM can be inverted; leave encode out, or choose "
            "solver=ddim with eta=0"
        )


def _check_eta(eta: float, solver: str) -> None:
    """Raise InputError for an η that the solver cannot have."""
    if not 0 <= eta <= 1:
        raise InputError(f"eta={eta:g}: expected a number from 0 (no fresh noise) to 1 (DDPM)")
    if eta and solver != "ddim":
        raise InputError(f"eta={eta:g}: {solver} draws no fresh noise; expected 0, or solver=ddim")


def _check_unrolling(unroll_steps: int | None, batch_size: int | None) -> None:
    """Raise InputError for numbers out of range, and a fixed batch without unrolling."""
    numbers = (
        ("unroll_steps", unroll_steps, MAX_UNROLL_STEPS),
        ("batch_size", batch_size, MAX_BATCH_SIZE),
    )
    for name, value, most in numbers:
        if value is not None and not 1 <= value <= most:
            raise InputError(f"{name}={value}: expected a whole number from 1 to {most}")
    if batch_size is not None and unroll_steps is None:
        raise InputError(
            f"batch_size={batch_size}: fixes the batch of an unrolled sampler; add unroll_steps"
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
