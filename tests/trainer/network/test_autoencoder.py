"""The autoencoder's network: its shapes, how it begins, and its divergence."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from diffkiln.trainer.config import NetworkConfig
from diffkiln.trainer.network.autoencoder import build_autoencoder, split_moments
from diffkiln.trainer.training.autoencoder import kl_divergence

CONFIG = NetworkConfig(16, (4, 8, 8), 1, 1, task="autoencoder", factor=4, latent_channels=2)


def test_its_halves_mirror_each_other() -> None:
    network = build_autoencoder(CONFIG)
    encoder, decoder = network.get_layer("encoder"), network.get_layer("decoder")
    assert (encoder.input_shape, encoder.output_shape) == ((None, 16, 16, 3), (None, 4, 4, 4))
    assert (decoder.input_shape, decoder.output_shape) == ((None, 4, 4, 2), (None, 16, 16, 3))
    assert network.count_params() == encoder.count_params() + decoder.count_params()


def test_its_names_do_not_depend_on_what_was_built_before() -> None:
    names = [[each.path for each in build_autoencoder(CONFIG).weights] for _ in range(2)]
    assert names[0] == names[1]
    assert len({*names[0]}) == len(names[0])


def test_noise_counts_by_the_standard_deviation() -> None:
    network = build_autoencoder(CONFIG)
    image, noise = (tf.random.stateless_normal(s, (0, 1)) for s in ((3, 16, 16, 3), (3, 4, 4, 2)))
    decoder = network.get_layer("decoder")
    decoder.layers[-1].kernel.assign(keras.random.normal(decoder.layers[-1].kernel.shape, seed=1))
    drawn, moments = network([image, noise])
    mean, log_variance = split_moments(moments)
    np.testing.assert_allclose(drawn, decoder(mean + tf.exp(log_variance / 2) * noise), atol=1e-5)


@pytest.mark.parametrize(
    ("mean", "variance", "divergence"), [(0.0, 1.0, 0.0), (2.0, 1.0, 2.0), (0.0, np.e, 0.359141)]
)
def test_the_divergence_is_the_closed_form(mean: float, variance: float, divergence: float) -> None:
    moments = tf.constant([mean, np.log(variance)], tf.float32)[None, None, None]
    np.testing.assert_allclose(kl_divergence(moments), [[[[divergence]]]], atol=1e-6)
