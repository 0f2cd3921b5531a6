"""DDPM's step with the variance that a network learned, once more, in float64 from the papers."""

import math

import numpy as np

from .reference_noise import Array

Rates = tuple[float, float]


def ancestral(x: Array, image: Array, fraction: Array, fresh: Array, t: Rates, s: Rates) -> Array:
    """x_s of x_t, x̂_0, v and fresh noise, each [N, H, W, C]; t and s are (signal, noise).

    The mean of q(x_s | x_t, x̂_0) (DDPM, arXiv 2006.11239, equation 7), and the variance
    exp(v·ln β + (1 − v)·ln β̃) (Improved DDPM, arXiv 2102.09672, equation 15), with the β of steps
    that leave out timesteps (equation 19). β is 0 where a grid has a timestep twice.
    """
    (signal_t, noise_t), (signal_s, noise_s) = t, s
    alpha = (signal_t / signal_s) ** 2
    beta = 1 - alpha
    mean = signal_s * beta / noise_t**2 * image + math.sqrt(alpha) * noise_s**2 / noise_t**2 * x
    if beta == 0:
        return mean
    posterior = noise_s**2 / noise_t**2 * beta
    log_variance = fraction * math.log(beta) + (1 - fraction) * math.log(posterior)
    return mean + np.exp(log_variance / 2) * fresh
