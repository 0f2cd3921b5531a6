"""A run is grey where its pictures are, and reads levels of any number of bits."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import picture
from PIL import Image

from diffkiln.trainer.config import TrainConfig
from diffkiln.trainer.data.load import ImageData, load_images
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.presets import preset_config
from diffkiln.trainer.run.directory import DataSummary, RunDirectory


def config(folder: Path, **settings: Any) -> TrainConfig:
    return preset_config("tiny", data=f"folder:{folder}", image_size=16, **settings)


def load(folder: Path, **settings: Any) -> ImageData:
    return load_images(config(folder, **settings))


def save(folder: Path, count: int, ending: str = "png", mode: str = "L") -> None:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        picture(number, 24).convert("L").convert(mode).save(folder / f"{number}.{ending}")


@pytest.mark.parametrize("kind", ["png L", "png LA", "png RGB", "jpg L", "jpg RGB", "webp RGB"])
def test_grey_pictures_make_a_grey_run(tmp_path: Path, kind: str) -> None:
    ending, mode = kind.split()
    save(tmp_path / "data", 5, ending, mode)
    images = load(tmp_path / "data")
    assert images.train.shape == (16, 16, 1)
    assert len(images.summary().pixel_mean) == 1
    in_colour = load(tmp_path / "data", channels=3).train.take(np.arange(5))
    np.testing.assert_allclose(images.train.take(np.arange(5)) + np.zeros(3), in_colour, atol=2)


def test_one_picture_in_colour_makes_a_run_in_colour(tmp_path: Path) -> None:
    save(tmp_path / "data", 5)
    picture(9, 24).save(tmp_path / "data" / "9.png")
    assert load(tmp_path / "data").train.shape == (16, 16, 3)
    assert load(tmp_path / "data", channels=1).train.shape == (16, 16, 1)


def test_a_run_whose_config_is_lost_keeps_the_channels_of_its_copy(tmp_path: Path) -> None:
    save(tmp_path / "data", 3)
    run = RunDirectory(tmp_path / "r")
    run.make()
    summary = DataSummary("files-0", 3, 0, (0.5,), (0.5,), reading_version=2)
    run.write_config(config(tmp_path / "data", channels=3), summary)
    run.config.unlink()
    images = load_images(config(tmp_path / "data"), run=run)
    assert images.train.shape == (16, 16, 3)


def test_a_later_picture_in_colour_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffkiln.trainer.data.channels._SAMPLE", 3)
    save(tmp_path / "data", 30)
    seen = [number for number in range(30) if number not in sampled_numbers(tmp_path / "data")]
    late = tmp_path / "data" / f"{seen[0]}.png"
    picture(9, 24).save(late)
    images = load(tmp_path / "data", cache="none")
    assert images.train.shape == (16, 16, 1)
    for _ in range(2):
        images.train.take(np.arange(30))
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{str(late)!r} is in colour, but the run is grey")
    caplog.clear()
    load(tmp_path / "data", channels=1).train.take(np.arange(30))
    assert not caplog.records


def sampled_numbers(folder: Path) -> set[int]:
    from diffkiln.trainer.data.channels import sampled

    names = sorted(path.name for path in folder.iterdir())
    return {int(Path(names[index]).stem) for index in sampled(len(names), config(folder)).tolist()}


def test_floats_with_levels_are_grey(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number, image in enumerate(np.random.default_rng(0).random((3, 24, 24), np.float32)):
        Image.fromarray(image).save(tmp_path / "data" / f"{number}.tiff")
    images = load(tmp_path / "data", levels=(0, 1)).train
    assert images.shape == (16, 16, 1)
    assert len(np.unique(images.take(np.arange(3)))) > 150
    with pytest.raises(InputError, match=r"mode F; expected integers; .* or give its levels"):
        load(tmp_path / "data")


@pytest.mark.parametrize(("bits", "white"), [(10, 1023), (12, 4095), (14, 16383), (16, None)])
def test_few_bits_in_files_of_16_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bits: int, white: int | None
) -> None:
    (tmp_path / "data").mkdir()
    levels = np.random.default_rng(0).integers(0, 2**bits, (3, 24, 24)).astype(np.uint16)
    levels[:, 0, 0] = 2**bits - 1
    for number, image in enumerate(levels):
        Image.fromarray(image).save(tmp_path / "data" / f"{number}.png")
    with caplog.at_level(logging.WARNING):
        load(tmp_path / "data")
    expected = [] if white is None else [f"if white is {white}, give --levels=0,{white}"]
    assert [record.getMessage().split("; ")[1] for record in caplog.records] == expected
    caplog.clear()
    images = load(tmp_path / "data", levels=(0, 2**bits - 1)).train.take(np.arange(3))
    assert len(np.unique(images)) > 150
    assert not caplog.records


def test_colours_of_16_bits_have_no_levels(tmp_path: Path, caplog: Any) -> None:
    save(tmp_path / "data", 3)
    levels = np.zeros((24, 24, 3), np.uint16)
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 24, 24, 16, 2, 0, 0, 0))
    content = header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "data" / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    load(tmp_path / "data", levels=(0, 4095), channels=3).train.take(np.arange(4))
    assert "16-bit colours, of which only 8 bits can be read" in caplog.text
