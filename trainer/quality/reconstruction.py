"""What an averaged autoencoder makes of pictures, by number and by eye."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ..config import TrainConfig
from ..data.augment import unchanged
from ..data.cache import Images
from ..maths.diffusion import Denoiser, to_uint8
from ..network.autoencoder import split_moments
from .restoration import MEASURED, SHOWN, Likeness, likeness

_IN_A_ROW = 8


def reconstruction(
    config: TrainConfig,
    network: keras.Model,
    denoiser: Denoiser,
    images: Images,
    held_out: tuple[NDArray[np.uint8], NDArray[np.int64]],
) -> "Reconstruction":
    """The reconstruction of a run's held-out pictures, or of the first images without them."""
    pictures, _ = held_out
    if len(pictures):
        return Reconstruction(network, denoiser, pictures)
    first = unchanged(images.take(np.arange(min(SHOWN, len(images)))), config)
    return Reconstruction(network, denoiser, first, measured=False)


class Reconstruction:
    """Encodes and decodes the same pictures, at whatever step it is asked to.

    Of `pictures` uint8 [N, S, S, C], the first 64 are `measured` and the first 16 shown. `denoiser`
    knows the statistics of pixels.
    """

    def __init__(
        self,
        network: keras.Model,
        denoiser: Denoiser,
        pictures: NDArray[np.uint8],
        *,
        measured: bool = True,
    ) -> None:
        self.columns = Likeness._fields
        self._pictures, self._measured = pictures[:MEASURED], measured
        encoder, decoder = network.get_layer("encoder"), network.get_layer("decoder")

        def drawn(pictures: tf.Tensor) -> tf.Tensor:
            moments = encoder(denoiser.normalise(tf.cast(pictures, tf.float32) / 255))
            return to_uint8(denoiser.pixels(decoder(split_moments(moments)[0])))

        self._drawn = tf.function(drawn, reduce_retracing=True, autograph=False)

    def measures(self, check: Callable[[], None] = lambda: None) -> dict[str, float]:
        """PSNR and SSIM by name, nan without held-out pictures; `check` may raise an error."""
        if not self._measured:
            return Likeness()._asdict()
        drawn = []
        for start in range(0, len(self._pictures), SHOWN):
            check()
            drawn.append(self._made_of(self._pictures[start : start + SHOWN]))
        return likeness(np.concatenate(drawn), self._pictures)._asdict()

    def draw(self) -> NDArray[np.uint8]:
        """A grid uint8 [4·S, 8·S, C]: originals over what is made of them, twice."""
        shown = self._pictures[:SHOWN]
        # Where there are few pictures, they come again.
        both = (np.resize(each, (SHOWN, *each.shape[1:])) for each in (shown, self._made_of(shown)))
        rows = [np.split(each, SHOWN // _IN_A_ROW) for each in both]
        ordered = [row for pair in zip(*rows, strict=True) for row in pair]
        return np.concatenate([np.concatenate(row, axis=1) for row in ordered])

    def _made_of(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self._drawn(tf.constant(pictures)).numpy()
