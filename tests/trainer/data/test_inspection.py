"""What --describe says of the pictures, and the images on its contact sheet."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from pictures import picture, save_pictures
from PIL import Image

from diffkiln.trainer.data.colours import Colours
from diffkiln.trainer.data.inspection import contact_sheet, in_words, looks
from diffkiln.trainer.data.load import load_images, source_of
from diffkiln.trainer.presets import preset_config


def found(**settings: Any) -> dict[str, str]:
    config = preset_config("tiny", image_size=16, **settings)
    return dict(in_words(looks(source_of(config), config, Colours()), config))


def test_a_folder_in_words(tmp_path: Path) -> None:
    save_pictures(tmp_path / "train" / "cat", 5, size=24)
    save_pictures(tmp_path / "train" / "dog", 3, size=20, ending="jpg")
    picture(9, 8).save(tmp_path / "train" / "dog" / "small.png")
    (tmp_path / "val" / "dog").mkdir(parents=True)
    (tmp_path / "train" / "dog" / "bad.png").write_text("text")
    shutil.copy(tmp_path / "train" / "cat" / "00000.png", tmp_path / "val" / "dog" / "same.png")
    words = found(data=f"folder:{tmp_path}")
    assert words.pop("damaged").startswith(f"1 that cannot be read: '{tmp_path}/train/dog/bad.png'")
    assert words == {
        "looked at": "11 pictures",
        "kinds": "PNG 7, JPEG 3",
        "classes": "dog 6, cat 5",
        "sides": "the shorter ones are 8 to 24 pixels",
        "small": "1 with fewer than 16 pixels a side: train/dog/small.png",
        "repeated": ("1 with the same pixels as another: train/cat/00000.png = val/dog/same.png"),
        "in both": "1 both trained on and held out: train/cat/00000.png = val/dog/same.png",
    }


def test_other_data_in_words() -> None:
    words = found(data="synthetic:16")
    assert words["looked at"] == "18 pictures"
    assert set(words) == {"looked at", "classes"}


def test_the_contact_sheet_shows_the_first_images_of_the_run(tmp_path: Path) -> None:
    save_pictures(tmp_path / "data", 5, size=24)
    config = preset_config("tiny", data=f"folder:{tmp_path / 'data'}", image_size=16)
    images = load_images(config)
    sheet = contact_sheet(images, config)
    assert sheet.shape == (128, 128, 3)
    first = sheet[:16, :16]
    known = images.train.take(np.arange(5))
    assert any(np.array_equal(first, each) for each in (*known, *known[:, :, ::-1]))
    assert Image.fromarray(sheet).size == (128, 128)
