"""Spherical interpolation between two draws of noise."""

import numpy as np


def slerp(start: np.ndarray, end: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Return float32 [F, ...] on the great circle from `start` [...] to `end` [...].

    `fractions` [F] go from 0 to 1. With ω the angle between both ends:
    (sin((1 - f)·ω)·start + sin(f·ω)·end)/sin ω (Shoemake, Animating rotation with quaternion
    curves, SIGGRAPH 1985). Every point is as far from the origin as noise is. A straight line
    would come nearer, where the network has seen nothing.
    """
    a, b = (noise.astype(np.float64) for noise in (start, end))
    cosine = np.vdot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    f = np.reshape(fractions, (-1, *[1] * a.ndim))
    if np.sin(angle) < 1e-6:  # the same seed twice: 0/0
        return ((1 - f) * a + f * b).astype(np.float32)
    mixed = (np.sin((1 - f) * angle) * a + np.sin(f * angle) * b) / np.sin(angle)
    return mixed.astype(np.float32)
