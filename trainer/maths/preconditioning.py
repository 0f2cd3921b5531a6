"""EDM's preconditioning (arXiv 2206.00364, table 1), in rates whose squares sum to 1.

EDM has x_0 + σ·ε where we have x_t, with σ = noise/signal; so its x is x_t/signal. Its denoiser is
D = c_skip·x + c_out·F(c_in·x), where F is the network and σ_d the standard deviation of images:
c_in = 1/√(σ² + σ_d²), c_skip = σ_d²·c_in² and c_out = σ·σ_d·c_in.
"""

import tensorflow as tf

from .rates import Rates


def network_input(prediction: str, noisy: tf.Tensor, rates: Rates, sigma_data: float) -> tf.Tensor:
    """c_in·x, or x itself for a network that puts out the image and does the rest itself."""
    if prediction == "edm":
        return noisy / _deviation(rates, sigma_data)
    return noisy / rates.signal


def preconditioned_image(
    output: tf.Tensor, noisy: tf.Tensor, rates: Rates, sigma_data: float
) -> tf.Tensor:
    """D of the network's output F at x_t = `noisy`."""
    deviation = _deviation(rates, sigma_data)
    kept = sigma_data**2 * rates.signal / tf.square(deviation)
    return kept * noisy + sigma_data * rates.noise / deviation * output


def _deviation(rates: Rates, sigma_data: float) -> tf.Tensor:
    """The standard deviation of x_t: signal/c_in."""
    return tf.sqrt(tf.square(sigma_data * rates.signal) + tf.square(rates.noise))
