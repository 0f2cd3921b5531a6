"""The ᾱ of a discrete schedule as an array of its own, checked once, without TensorFlow.

ᾱ_n = Π(1 − β_m), m = 1 … n (DDPM, arXiv 2006.11239, section 2).
"""

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, first_line

FEWEST, MOST = 2, 10_000
# Its square root, the signal rate, is still an ordinary number in float32.
LEAST = 1e-30


def checked_alphas_cumprod(values: Any) -> np.ndarray:
    """ᾱ_1 … ᾱ_T as float64 [T]; InputError unless they fall from below 1, at last perhaps to 0."""
    alphas = _floats("alphas_cumprod", values)
    if alphas[0] == 1:
        raise InputError(
            "alphas_cumprod: begins with 1, expected the number of timestep 1, which has noise; "
            "leave out that of timestep 0"
        )
    if not np.all((alphas[:-1] >= LEAST) & (alphas[:-1] < 1)) or not _may_end(alphas[-1]):
        raise _outside("alphas_cumprod", alphas, f"from {LEAST:g} to 1; only the last may be 0")
    if np.any(rising := np.diff(alphas) >= 0):
        n = int(np.argmax(rising)) + 1
        raise InputError(
            f"alphas_cumprod: {alphas[n]:g} at timestep {n + 1} comes after {alphas[n - 1]:g}, "
            "expected numbers that fall from each timestep to the next"
        )
    return alphas


def alphas_cumprod_of_betas(values: Any) -> np.ndarray:
    """ᾱ_1 … ᾱ_T of β_1 … β_T, float64 [T]; InputError unless 0 < β < 1, where β_T may be 1."""
    betas = _floats("betas", values)
    if not np.all((betas > 0) & (betas <= 1)) or np.any(betas[:-1] == 1):
        raise _outside("betas", betas, "above 0 and below 1; only the last may be 1")
    return checked_alphas_cumprod(np.cumprod(1 - betas))


def with_zero_terminal_snr(alphas: np.ndarray) -> np.ndarray:
    """ᾱ_1 … ᾱ_T whose signal rates √ᾱ are moved and scaled, so that ᾱ_1 stays and ᾱ_T is 0.

    arXiv 2305.08891, algorithm 1.
    """
    signal = np.sqrt(alphas)
    return np.square((signal - signal[-1]) * signal[0] / (signal[0] - signal[-1]))


def read_alphas_cumprod(path: Path) -> np.ndarray:
    """ᾱ_1 … ᾱ_T of a .npy file; InputError for a file without them."""
    expected = "expected a .npy file of alphas_cumprod, as numpy.save writes it"
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"schedule={path}: {first_line(error)}; {expected}") from error
    if not isinstance(values, np.ndarray):  # several arrays in one file
        raise InputError(f"schedule={path}: holds {type(values).__name__}; {expected}")
    return checked_alphas_cumprod(values)


def _floats(name: str, values: Any) -> np.ndarray:
    numbers = np.asarray(values)
    if numbers.dtype.kind != "f" or numbers.ndim != 1 or not FEWEST <= len(numbers) <= MOST:
        raise InputError(
            f"{name}: got {numbers.dtype} of shape {list(numbers.shape)}, expected floats of one "
            f"dimension, {FEWEST} to {MOST} of them, for timesteps 1, 2, …"
        )
    return numbers.astype(np.float64)


def _may_end(alpha: float) -> bool:
    return alpha == 0 or LEAST <= alpha < 1


def _outside(name: str, numbers: np.ndarray, expected: str) -> InputError:
    """The error for numbers of which one is out of range; NaN is out of any."""
    low, high = numbers.min(), numbers.max()
    return InputError(f"{name}: got numbers from {low:g} to {high:g}, expected each {expected}")
