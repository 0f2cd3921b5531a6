"""Checks a Sampler's arguments: seeds, steps, images, masks, noise."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..bundle.bundle import Bundle
from ..limits import MAX_COUNT, MAX_STEPS, SEED_END, whole

Seeds = Sequence[int] | np.ndarray


def checked_seeds(
    count: int | Seeds | None, seeds: Seeds | None, seed: int, *, expected: int | None = None
) -> np.ndarray:
    """Return int64 [N]: `seeds`, or `count` if it is a list of seeds, or seed … seed + count - 1.

    Raises ValueError for anything out of range, for both or neither of `count` and `seeds`, or for
    another number of seeds than `expected`.
    """
    if (count is None) == (seeds is None):
        raise ValueError("expected either count or seeds: how many images, or the seed of each")
    if seeds is None and np.ndim(count) == 0:  # pyright: ignore[reportArgumentType]
        number = whole("count", count, 1, MAX_COUNT)
        first = whole("seed", seed, 0, SEED_END - number)
        # Not arange(first, first + number): the end may be 2**63, one more than int64 holds.
        numbers = np.arange(number, dtype=np.int64) + np.int64(first)
    else:
        numbers = _listed(count if seeds is None else seeds, seed)
    if expected not in (None, len(numbers)):
        raise ValueError(f"seeds: received {len(numbers)}, expected {expected}, one for each image")
    return numbers


def _listed(seeds: Any, seed: int) -> np.ndarray:
    listed = as_array("seeds", seeds)
    if whole("seed", seed, 0, SEED_END - 1):
        raise ValueError(f"seed={seed}: expected none beside a list of seeds")
    if listed.ndim == 1 and listed.dtype.kind in "Of":  # as NumPy holds numbers beyond int64
        for number in (each for each in seeds if isinstance(each, int)):
            whole("seeds", number, 0, SEED_END - 1)
    if listed.ndim != 1 or listed.dtype.kind not in "iu" or not 1 <= len(listed) <= MAX_COUNT:
        expected = f"a list of 1 to {MAX_COUNT} whole numbers"
        raise ValueError(f"seeds: received {listed.dtype}{list(listed.shape)}, expected {expected}")
    for end in (listed.min(), listed.max()):
        whole("seeds", end, 0, SEED_END - 1)
    return listed.astype(np.int64)


def checked_steps(
    bundle: Bundle, steps: int | None, guidance: object = None, *, baked: bool = False
) -> int:
    """Return `steps`, 1 … the bundle's max_steps, or its default under this guidance for None.

    They are for "sampler" and "from_noise" if `baked`, which may be unrolled for one number only.
    """
    unrolled = bundle.unrolled_steps if baked else None
    default = unrolled or bundle.default_steps_at(guidance)
    steps = whole("steps", default if steps is None else steps, 1, MAX_STEPS)
    if steps > bundle.max_steps:
        raise ValueError(
            f"steps={steps}: expected at most {bundle.max_steps}, the most of {bundle.path}"
        )
    if unrolled not in (None, steps):
        raise ValueError(f"steps={steps}: this bundle is unrolled for {unrolled} steps only")
    return steps


def start_of(strength: Any, steps: int) -> int:
    """Return the step to begin with, for the part of the steps to take; the last one at least.

    Raises ValueError unless the part is above 0 and at most 1.
    """
    number = isinstance(strength, int | float | np.integer | np.floating)
    if not number or isinstance(strength, bool) or not 0 < strength <= 1:
        raise ValueError(f"strength={strength!r}: expected a number above 0, up to 1")
    return steps - max(1, round(float(strength) * steps))


def checked_images(bundle: Bundle, images: Any) -> np.ndarray:
    """Return `images` if they are [N, height, width, channels] of the bundle's dtype.

    Arrays of a bundle that draws arrays are finite floats, and become float32.
    """
    array = _of_shape(bundle.samples, images, bundle.sample_shape)
    if bundle.draws_arrays:
        return _floats(bundle.samples, array)
    if array.dtype != bundle.sample_dtype:
        raise ValueError(f"images of dtype {array.dtype}: expected {bundle.sample_dtype}")
    if array.dtype != np.uint8 and not ((array >= 0) & (array <= 1)).all():
        raise ValueError("images: expected floats from 0 to 1 without NaN")
    return array


def checked_noise(bundle: Bundle, noise: Any) -> np.ndarray:
    """Return `noise` as float32 [N, height, width, channels]; ValueError unless it is finite."""
    return _floats("noise", _of_shape("noise", noise, bundle.noise_shape))


def _floats(name: str, array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # to infinity
        floats = array.astype(np.float32, copy=False) if array.dtype.kind == "f" else None
    if floats is None or not np.isfinite(floats).all():
        expected = "expected floats without NaN or infinity, as float32 holds them"
        raise ValueError(f"{name} of dtype {array.dtype}: {expected}")
    return floats


def checked_mask(bundle: Bundle, mask: Any, count: int) -> np.ndarray:
    """Return uint8 [count, height, width, 1], for a mask of that shape or one for all images.

    One for all is [height, width] or [height, width, 1]. Booleans are accepted; 0 and False keep a
    pixel. Arrays [T, C] have masks of [T, 1], and [D] has one of [D]. Raises ValueError for another
    shape or dtype.
    """
    array = as_array("mask", mask)
    *places, last = bundle.sample_shape
    whole = (*places, 1) if places else (last,)
    if array.dtype not in (np.uint8, np.bool_):
        raise ValueError(f"mask of dtype {array.dtype}: expected uint8 or bool")
    if array.shape in (tuple(places) or whole, whole):
        array = np.broadcast_to(array.reshape(whole), (count, *whole))
    if array.shape != (count, *whole):
        raise ValueError(
            f"mask of shape {list(array.shape)}: expected {[count, *whole]}, one for each image, "
            f"or {places or [last]} for all of them"
        )
    return array.astype(np.uint8, copy=False)


def as_array(name: str, value: Any) -> np.ndarray:
    """Return the value as an array; ValueError for lists of different lengths."""
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: expected lists of one length, as in an array") from error


def _of_shape(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = as_array(name, value)
    if array.ndim == 0 or array.shape[1:] != shape or not 1 <= len(array) <= MAX_COUNT:
        expected = ", ".join(map(str, shape))
        raise ValueError(f"{name} of shape {list(array.shape)}: expected [N, {expected}]")
    return array
