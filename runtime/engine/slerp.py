"""Spherical interpolation between two draws of noise."""

import numpy as np


def slerp(start: np.ndarray, end: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Go from `start` to `end` along the great circle through both; both of one shape [...].

    Returns float32 [F, ...] for fractions [F] from 0 to 1. Every point on the way is as far from
    the origin as noise is, where a straight line would pass through its inside, which no network
    has seen: (sin((1 - f)·ω)·start + sin(f·ω)·end)/sin ω, with ω the angle between them
    (Shoemake, Animating rotation with quaternion curves, SIGGRAPH 1985).
    """
    a, b = (noise.astype(np.float64) for noise in (start, end))
    cosine = np.vdot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    f = np.reshape(fractions, (-1, *[1] * a.ndim))
    if np.sin(angle) < 1e-6:  # one seed twice: there is no way to go, and 0/0
        return ((1 - f) * a + f * b).astype(np.float32)
    mixed = (np.sin((1 - f) * angle) * a + np.sin(f * angle) * b) / np.sin(angle)
    return mixed.astype(np.float32)
