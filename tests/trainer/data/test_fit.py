"""How pictures of another shape become square: by their middle, with white bars, or squeezed."""

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import exif_of, picture
from PIL import Image

from diffkiln.trainer.config import FITS
from diffkiln.trainer.data.batches import batches
from diffkiln.trainer.data.colours import Colours
from diffkiln.trainer.data.inspection import contact_sheet, in_words, looks
from diffkiln.trainer.data.load import ImageData, _how, load_images, source_of
from diffkiln.trainer.data.pictures import read_image, square_pixels
from diffkiln.trainer.describe import describe, plan
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.presets import preset_config
from diffkiln.trainer.run.directory import RunDirectory

WIDE = picture(1, 16).crop((0, 0, 16, 8))
RED = (255, 0, 0)


def settings_of(folder: Path, fit: str, **settings: Any) -> Any:
    return preset_config("tiny", image_size=16, data=f"folder:{folder}", fit=fit, **settings)


def load(folder: Path, fit: str, *, cache_dir: Path = Path("cache"), **settings: Any) -> ImageData:
    return load_images(settings_of(folder, fit, **settings), cache_dir=cache_dir)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three pictures, twice as wide as high, whose halves are red and blue."""
    (tmp_path / "data").mkdir()
    for number, width in enumerate((40, 60, 80)):
        image = Image.new("RGB", (width, width // 2), "red")
        image.paste("blue", (width // 2, 0, width, width // 2))
        image.save(tmp_path / "data" / f"{number}.png")
    return tmp_path / "data"


def test_bars_leave_the_whole_picture() -> None:
    wide = square_pixels(WIDE, 16, fit="pad")
    np.testing.assert_array_equal(wide[4:12], WIDE)
    assert (wide[:4] == 255).all()
    assert (wide[12:] == 255).all()
    tall = square_pixels(WIDE.transpose(Image.Transpose.TRANSPOSE), 16, fit="pad")
    np.testing.assert_array_equal(tall, wide.transpose(1, 0, 2))


def test_a_squeezed_picture_is_the_whole_one() -> None:
    expected = WIDE.resize((16, 16), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(square_pixels(WIDE, 16, fit="stretch"), expected)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(1, 1), (5, 5), (40, 40)])
def test_square_pictures_do_not_depend_on_it(fit: str, size: tuple[int, int]) -> None:
    image = picture(2, 40).crop((0, 0, *size))
    np.testing.assert_array_equal(square_pixels(image, 16, fit=fit), square_pixels(image, 16))


@pytest.mark.parametrize("size", [(20_000, 3), (3, 20_000), (1, 2), (7, 5)])
def test_odd_shapes(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, RED)
    assert (square_pixels(image, 8, fit="stretch") == RED).all()
    padded = square_pixels(image, 8, fit="pad")
    red = (padded == RED).all(axis=-1)
    assert (padded[~red] == 255).all()
    across, down = red.any(axis=0).sum(), red.any(axis=1).sum()
    assert max(across, down) == 8
    assert min(across, down) == max(1, round(8 * min(size) / max(size)))
    assert across * down == red.sum()


def test_a_picture_is_turned_before_it_is_fitted(tmp_path: Path) -> None:
    by_a_quarter = exif_of((0x0112, 3, 1, b"\6\0\0\0"))
    WIDE.save(tmp_path / "a.png", exif=by_a_quarter)
    upright = WIDE.transpose(Image.Transpose.ROTATE_270)
    for fit in FITS:
        expected = square_pixels(upright, 16, fit=fit)
        np.testing.assert_array_equal(read_image(tmp_path / "a.png", 16, fit=fit), expected)


def test_bars_are_white_as_behind_transparency() -> None:
    clear = Image.new("RGBA", (16, 8), (0, 0, 0, 0))
    assert (square_pixels(clear, 16, fit="pad") == 255).all()


def test_bars_are_white_whatever_the_levels() -> None:
    black = Image.fromarray(np.full((8, 16), 1000, np.uint16))
    pixels = square_pixels(black, 16, Colours(1, (1000, 4095)), "pad")
    assert pixels.shape == (16, 16, 1)
    assert (pixels[4:12] == 0).all()
    assert (pixels[:4] == 255).all()


def test_statistics_count_what_the_network_sees(photos: Path) -> None:
    red, green, blue = load(photos, "pad").summary().pixel_mean
    # Half of an image is bars, a quarter red and a quarter blue; between them Lanczos overshoots.
    np.testing.assert_allclose((red, green, blue), (0.75, 0.5, 0.75), atol=0.01)


def test_colour_at_an_edge_counts_where_it_is_seen(tmp_path: Path) -> None:
    image = Image.new("RGB", (60, 20), (99, 99, 99))
    image.paste(RED, (0, 0, 15, 20))
    image.save(tmp_path / "a.png")
    channels = {fit: load(tmp_path, fit).train.shape[-1] for fit in FITS}
    assert channels == {"crop": 1, "pad": 3, "stretch": 3}


def test_crops_are_cut_from_the_fitted_picture(photos: Path) -> None:
    images = load(photos, "pad", augment="crop")
    (image,) = images.train.take(np.array([2]))
    np.testing.assert_array_equal(image, read_image(photos / "2.png", 21, fit="pad"))
    config = settings_of(photos, "pad", augment="crop+flip", batch_size=8)
    for batch, _ in islice(batches(images.train, config, first_step=0), 3):
        # The bars take half of the picture, and a crop leaves out at most a quarter of a side.
        assert (batch.numpy() == 255).all(axis=-1).any(axis=(1, 2)).all()
        assert (batch.numpy()[..., 1] < 9).any(axis=(1, 2)).all()


def test_a_cache_of_one_fit_is_not_used_for_another(photos: Path, tmp_path: Path) -> None:
    every, seen = np.arange(3), []
    for fit in (*FITS, *FITS):
        images = load(photos, fit, cache="disk", cache_dir=tmp_path / "cache").train.take(every)
        expected = np.stack([read_image(photos / f"{n}.png", 16, fit=fit) for n in range(3)])
        np.testing.assert_array_equal(images, expected)
        seen.append(images.tobytes())
    assert len(set(seen)) == 3


def test_caches_of_older_versions_are_still_used(tmp_path: Path) -> None:
    pad, crop = (settings_of(tmp_path, fit) for fit in ("pad", "crop"))
    assert [_how(crop, version) for version in (1, 2)] == ["16", "16 3 None 2"]
    assert [_how(pad, version) for version in (1, 2)] == ["16 3 None 1 pad", "16 3 None 2 pad"]


def test_tensorflow_datasets_are_fitted_too(tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    image = tfds.features.Image(shape=(8, 16, 3))
    pixels = [np.asarray(picture(number, 16))[:8] for number in range(3)]
    tfds.dataset_builders.AdhocBuilder(
        name="wide",
        version="1.0.0",
        data_dir=tmp_path / "tfds",
        features=tfds.features.FeaturesDict({"image": image}),
        split_datasets={"train": [(number, {"image": each}) for number, each in enumerate(pixels)]},
    ).download_and_prepare()
    place: dict[str, Any] = {"data": "tfds:wide", "data_dir": str(tmp_path / "tfds")}
    for fit in (*FITS, *FITS):
        config = preset_config("tiny", image_size=16, cache="disk", fit=fit, **place)
        images = load_images(config, cache_dir=tmp_path / "cache").train.take(np.arange(3))
        expected = {square_pixels(Image.fromarray(each), 16, fit=fit).tobytes() for each in pixels}
        assert {each.tobytes() for each in images} == expected


def test_a_look_at_the_pictures_is_of_the_fitted_ones(tmp_path: Path) -> None:
    middle = picture(1, 12)
    for name, edge in (("a", "red"), ("b", "blue")):
        image = Image.new("RGB", (20, 12), edge)
        image.paste(middle, (4, 0))
        image.save(tmp_path / f"{name}.png")
    words = {}
    for fit in FITS:
        config = settings_of(tmp_path, fit)
        words[fit] = dict(in_words(looks(source_of(config), config, Colours()), config))
    assert words["crop"]["repeated"] == "1 with the same pixels as another: a.png = b.png"
    assert words["crop"]["sides"] == "the shorter ones are 12 to 12 pixels"
    assert words["crop"]["small"].startswith("2 with fewer than 16 pixels a side")
    assert words["pad"]["sides"] == "the longer ones are 20 to 20 pixels"
    assert "small" not in words["pad"]
    assert words["stretch"].keys() == words["crop"].keys() - {"repeated"}
    assert "repeated" not in words["pad"]


def test_the_contact_sheet_shows_bars(photos: Path) -> None:
    config = settings_of(photos, "pad")
    sheet = contact_sheet(load_images(config), config).reshape(8, 16, 8, 16, 3)
    assert (sheet[:, :4] == 255).all()
    assert not (sheet[:, 4:12] == 255).all(axis=-1).any()


def test_a_run_keeps_its_fit(photos: Path, tmp_path: Path) -> None:
    config, run = settings_of(photos, "pad"), RunDirectory(tmp_path / "r")
    run.make()
    run.write_config(config, load_images(config).summary())
    assert "fit=pad\n" in describe(run.path, config)
    assert run.read_config()[0].fit == "pad"
    (refusal,) = plan(run.path, settings_of(photos, "crop")).refusals
    assert "(fit: pad, not crop)" in refusal


def test_synthetic_flowers_have_no_other_fit() -> None:
    assert preset_config("tiny", fit="crop").fit == "crop"
    with pytest.raises(InputError, match="fit=pad: the synthetic flowers are square; leave it"):
        preset_config("tiny", fit="pad")
    with pytest.raises(InputError, match="fit=fill: expected one of crop, pad, stretch"):
        preset_config("tiny", data="folder:x", fit="fill")
