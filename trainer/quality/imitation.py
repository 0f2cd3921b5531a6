"""How near a student's pictures are to its teacher's, by number and by eye."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ..maths.guidance import Conditioning
from ..maths.sampling import Sampling

SHOWN = 8


class Imitation:
    """Draws the same seeds as the teacher in each count of `steps`, whenever it is asked to.

    `pictures` uint8 [N, S, S, C] are what the teacher draws from `noise` [N, S, S, C] under the
    `conditioning`.
    """

    def __init__(
        self,
        sampling: Sampling,
        steps: Sequence[int],
        pictures: NDArray[np.uint8],
        noise: tf.Tensor,
        conditioning: Conditioning | None,
    ) -> None:
        self.columns = tuple(f"distance_{count}" for count in steps)
        self._steps, self._pictures = tuple(steps), pictures

        def drawn(count: tf.Tensor) -> tf.Tensor:
            image = sampling.images(noise, count, conditioning=conditioning)
            return sampling.denoiser.pixels(image)

        self._drawn = tf.function(drawn, autograph=False)

    def measures(self, check: Callable[[], None] = lambda: None) -> dict[str, float]:
        """The distance for each count of steps, root mean square in levels of 255, by `columns`.

        `check` is called between the counts, and may raise an error to leave the measurement.
        """
        found = {}
        for name, count in zip(self.columns, self._steps, strict=True):
            check()
            found[name] = self._distance(self._pixels(count))
        return found

    def draw(self) -> NDArray[np.uint8]:
        """A grid uint8: a row of the teacher's pictures, and one for each count of steps."""
        rows = [np.round(255 * self._pixels(count)).astype(np.uint8) for count in self._steps]
        return np.concatenate(
            [np.concatenate(row[:SHOWN], axis=1) for row in (self._pictures, *rows)]
        )

    def _pixels(self, count: int) -> NDArray[np.float32]:
        return self._drawn(tf.constant(count, tf.int64)).numpy()

    def _distance(self, pixels: NDArray[np.float32]) -> float:
        apart = 255.0 * pixels - self._pictures
        return float(np.sqrt(np.square(apart).mean(axis=(1, 2, 3))).mean())
