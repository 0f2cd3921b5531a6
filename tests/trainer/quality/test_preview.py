"""The preview grid."""

import numpy as np
import tensorflow as tf
from PIL import Image

from diffkiln.trainer.maths.diffusion import Denoiser
from diffkiln.trainer.maths.sampling import Sampling
from diffkiln.trainer.maths.schedules import CosineSchedule
from diffkiln.trainer.quality.preview import Preview, save_png
from diffkiln.trainer.streams import PREVIEW, stream_seed

HALVED = Denoiser(
    lambda inputs: 0.5 * inputs[0], CosineSchedule(), "image", (0.5,) * 3, (0.25,) * 3
)


def test_the_grid_holds_sixteen_samples_in_rows() -> None:
    grid = Preview(HALVED, 8).draw()
    seed = stream_seed(0, PREVIEW, tf.constant(0, tf.int64))
    noise = tf.random.stateless_normal([16, 8, 8, 3], seed)
    images = Sampling(HALVED).sample(noise, 20).numpy()
    assert (grid.shape, grid.dtype) == ((32, 32, 3), np.uint8)
    np.testing.assert_array_equal(grid[8:16, 24:], images[7])


def test_the_grid_is_the_same_every_time() -> None:
    np.testing.assert_array_equal(Preview(HALVED, 8).draw(), Preview(HALVED, 8).draw())


def test_a_picture_is_written_whole(tmp_path) -> None:
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    save_png(picture, tmp_path / "samples" / "a.png")
    with Image.open(tmp_path / "samples" / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), picture)
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["a.png"]
