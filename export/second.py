"""The super-resolution bundle that is to be the second stage of a cascade."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..runtime.bundle.bundle import Bundle, open_bundle
from ..runtime.bundle.manifest import EXPORT_AGAIN, MANIFEST
from ..runtime.bundle.tasks import SMALL, upscaling_factor
from ..runtime.checking.limits import MAX_UPSCALING_STEPS
from ..runtime.errors import BundleError
from ..trainer.errors import InputError
from .checks import check_type

# The condition that says how much noise is in the small picture.
AUGMENTATION = "augmentation"
# What a cascade's manifest repeats of its second stage's.
_ENTRIES = ("model", "schedule", "pixel_mean", "pixel_std", "sampler", "conditions", "training")


@dataclass(frozen=True)
class Second:
    """A super-resolution bundle and its manifest, to be sampled in so many `steps`."""

    bundle: Bundle
    description: Mapping[str, Any]
    steps: int
    augmentation: float = 0.0

    @property
    def pixels(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of the small picture's pixels."""
        entries = self.description["conditions"]
        (small,) = (entry for entry in entries if entry["name"] == SMALL)
        return tuple(small["pixel_mean"]), tuple(small["pixel_std"])

    @property
    def factor(self) -> int:
        """By how much it enlarges."""
        return upscaling_factor(self.bundle)

    @property
    def small_shape(self) -> tuple[int, ...]:
        """Height, width and channels of the pictures that it enlarges."""
        height, width, channels = self.bundle.sample_shape
        return height // self.factor, width // self.factor, channels

    def content(self, graph: str) -> bytes:
        """A graph's file; InputError if it is missing or damaged."""
        with _input_errors():
            return self.bundle.graph(graph).content()

    def essentials(self) -> dict[str, Any]:
        """What the cascade's manifest says of it."""
        entries = {name: self.description[name] for name in _ENTRIES if name in self.description}
        sha256 = hashlib.sha256(self.content("sampler")).hexdigest()
        stage = {"factor": self.factor, "steps": self.steps, "sha256": sha256}
        stage |= {"augmentation": self.augmentation} if self.augmentation else {}
        return {**stage, **entries}


def second_stage(
    path: Path | str | None, steps: int | None = None, augmentation: float = 0.0
) -> Second | None:
    """The super-resolution bundle at `path`, in `steps` steps or its default; None without one.

    `augmentation` is the level of noise in the small picture, from 0 to below 1. Raises InputError
    for a bundle that enlarges no pictures, has no denoiser, is unrolled, draws fresh noise or may
    leave the picture out.
    """
    check_type("then", path, str | None)
    check_type("then_steps", steps, int | None)
    check_type("then_augmentation", augmentation, float)
    if path is None:
        for name, value in (("steps", steps), ("augmentation", augmentation or None)):
            if value is not None:
                problem = "is for a second stage; give its bundle as then"
                raise InputError(f"then_{name}={value}: {problem}")
        return None
    bundle, description = _opened(path)
    if steps is None:
        steps = bundle.default_steps_at(bundle.default_guidance)
    # NumPy's numbers are none to JSON.
    second = Second(bundle, description, int(steps), float(augmentation))
    _check_numbers(second)
    return second


def _opened(path: Path | str) -> tuple[Bundle, Mapping[str, Any]]:
    """The bundle and its manifest; InputError for one that cannot be a second stage."""
    if path == "":  # which a Path takes for the current folder
        expected = "expected the folder of a super-resolution bundle"
        raise InputError(f"then={path!r}: {expected}; give one, or leave it out")
    with _input_errors():
        bundle = open_bundle(path)
        upscaling_factor(bundle)
        bundle.require_graphs("denoiser")  # which the proof calls
    received = f"then={bundle.path}"
    if not bundle.path.is_dir():
        raise InputError(f"{received}: is a file, expected a folder; unpack the .zip first")
    description = json.loads((bundle.path / MANIFEST).read_bytes())
    if bundle.unrolled_steps is not None:
        raise InputError(f"{received}: is unrolled, expected a loop; {EXPORT_AGAIN} with one")
    if description["sampler"]["eta"]:
        problem = "draws fresh noise in each step, expected a deterministic sampler"
        raise InputError(f"{received}: {problem}; {EXPORT_AGAIN} with eta=0")
    if any(each.name == SMALL and each.null is not None for each in bundle.conditions):
        problem = "may leave the picture out under guidance, expected one that always takes it"
        raise InputError(f"{received}: {problem}; {EXPORT_AGAIN} with null=None for {SMALL}")
    return bundle, description


def _check_numbers(second: Second) -> None:
    """Raise InputError for steps out of range, and for noise that the network cannot be told."""
    bundle, level = second.bundle, second.augmentation
    most = min(bundle.max_steps, MAX_UPSCALING_STEPS)
    if not 1 <= second.steps <= most:
        raise InputError(f"then_steps={second.steps}: expected a whole number from 1 to {most}")
    if not 0 <= level < 1:
        raise InputError(f"then_augmentation={level:g}: expected a number from 0 to below 1")
    known = [(each.name, each.dtype, each.shape) for each in bundle.conditions]
    if level and (AUGMENTATION, "float32", ()) not in known:
        problem = f"its network has no condition {AUGMENTATION!r}, a number, to be told it"
        raise InputError(f"then_augmentation={level:g}: {problem}; leave it out")


@contextlib.contextmanager
def _input_errors() -> Iterator[None]:
    """Turn the runtime's errors into InputErrors."""
    try:
        yield
    except BundleError as error:
        raise InputError(f"then: {error}") from error
