"""Latents in place of pictures: which ones a step gets, and their statistics."""

import numpy as np
from numpy.typing import NDArray

from diffkiln.trainer.data.cache import Images
from diffkiln.trainer.data.latents import Latents, latents_of
from diffkiln.trainer.data.load import ImageData

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)


def pictures(pixels: NDArray[np.uint8]) -> Images:
    labels = np.arange(len(pixels))
    return Images(len(pixels), (4, 4, 3), cache=None, decode=pixels.__getitem__, labels=labels)


def left_half(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return pixels[:, ::2, :2, :2].astype(np.float32)


def latents(*, flips: bool) -> tuple[Latents, ImageData]:
    images = ImageData(pictures(PIXELS), pictures(PIXELS[:2]), "files-", np.arange(1))
    data = latents_of(images, left_half, flips=flips)
    assert isinstance(data.train, Latents)
    return data.train, data


def test_a_step_gets_latents_of_pictures_and_of_their_mirror_images() -> None:
    train, _ = latents(flips=True)
    taken = train.take_mirrored(np.array([3, 1]), np.array([True, False]))
    np.testing.assert_array_equal(taken[0], left_half(PIXELS[3:4, :, ::-1])[0])
    np.testing.assert_array_equal(taken[1], left_half(PIXELS[1:2])[0])


def test_nothing_is_mirrored_without_flips() -> None:
    train, _ = latents(flips=False)
    taken = train.take_mirrored(np.arange(5), np.ones(5, np.bool_))
    np.testing.assert_array_equal(taken, left_half(PIXELS))


def test_the_summary_has_the_statistics_of_all_latents() -> None:
    _, data = latents(flips=True)
    summary, expected = data.summary(), left_half(PIXELS).reshape(-1, 2)
    np.testing.assert_allclose(summary.pixel_mean, expected.mean(0), rtol=1e-6)
    np.testing.assert_allclose(summary.pixel_std, expected.std(0), rtol=1e-6)
    assert (summary.images, summary.eval_images, summary.fingerprint) == (5, 2, "files-")
    assert data.evaluation[1].tolist() == [0, 1]
