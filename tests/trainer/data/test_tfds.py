"""What is left of a download that failed, records that cannot be read, and real flowers."""

import logging
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffkiln.trainer.data.load import ImageData, load_images
from diffkiln.trainer.data.tfds import clear_partial_download, tfds_images
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.presets import preset_config


def test_a_failed_download_keeps_whole_files_and_what_was_there(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    mine = data_dir / "downloads" / "backup.tmp.2024"
    mine.mkdir(parents=True)
    (mine / "thesis.txt").write_text("keep me")
    before = {data_dir, *data_dir.rglob("*")}
    half = data_dir / "downloads" / "set" / "a.gz.tmp.123" / "a.gz"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    whole = data_dir / "downloads" / "set" / "b.gz"
    whole.write_bytes(b"whole")
    (data_dir / "set" / "1.0.0").mkdir(parents=True)
    clear_partial_download(data_dir / "set", before)
    files = {path for path in data_dir.rglob("*") if path.is_file()}
    assert files == {mine / "thesis.txt", whole}
    assert not (data_dir / "set").exists()


def test_a_failed_first_download_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "data" / "downloads" / "set").mkdir(parents=True)
    clear_partial_download(tmp_path / "data" / "set", set())
    assert not (tmp_path / "data").exists()


def test_flowers_on_disk_are_those_in_memory(flowers_dir: Path, tmp_path: Path) -> None:
    splits = {"split": "train[:70]+validation[:9]", "eval_split": "validation[:20]"}
    place = {"data": "tfds:oxford_flowers102", "data_dir": str(flowers_dir)}
    memory, once, again = (
        load_images(
            preset_config("tiny", image_size=16, cache=cache, **place, **splits), cache_dir=tmp_path
        )
        for cache in ("memory", "disk", "disk")
    )
    assert memory.summary().images == 70
    for other in (once, again):
        assert other.summary() == memory.summary()
        np.testing.assert_array_equal(
            other.train.take(np.arange(70)), memory.train.take(np.arange(70))
        )
        for received, expected in zip(other.evaluation, memory.evaluation, strict=True):
            np.testing.assert_array_equal(received, expected)
    assert len(list(tmp_path.iterdir())) == 3


def test_real_flowers_are_pictures(flowers_dir: Path) -> None:
    data = load_images(
        preset_config("flowers64", data="tfds:oxford_flowers102", data_dir=str(flowers_dir))
    )
    summary = data.summary()
    assert (summary.images, summary.eval_images) == (7167, 1020)
    # Photographs of flowers: more red than blue, and neither dark nor washed out.
    red, _, blue = summary.pixel_mean
    assert 0.25 < blue < red < 0.6
    assert np.all(np.array(summary.pixel_std) > 0.15)


def prepared(folder: Path, dtype: type, channels: int) -> Path:
    """A data set `small` of two files with ten images each, prepared in the folder."""
    import tensorflow_datasets as tfds

    images = np.random.default_rng(0).integers(0, 2**16, (20, 8, 8, channels))
    features = {
        "image": tfds.features.Image(shape=(8, 8, channels), dtype=dtype),
        "label": tfds.features.ClassLabel(names=["odd", "even"]),
    }
    examples = [
        {"image": (image // (257 if dtype is np.uint8 else 1)).astype(dtype), "label": number % 2}
        for number, image in enumerate(images)
    ]
    builder = tfds.dataset_builders.AdhocBuilder(
        name="small",
        version="1.0.0",
        data_dir=folder,
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": list(enumerate(examples))},
    )
    settings = tfds.download.DownloadConfig(num_shards=2)
    builder.download_and_prepare(download_config=settings)
    return folder


def prepared_with_many_features(folder: Path) -> Path:
    """A data set `small` of six pictures of level 0, 10, … in `second` and at `inner/third`."""
    import tensorflow_datasets as tfds

    image = tfds.features.Image(shape=(8, 8, 1))
    kind = tfds.features.ClassLabel(names=["a", "b", "c"])
    features = {
        "image": image,
        "label": tfds.features.ClassLabel(names=["odd", "even"]),
        "second": image,
        "inner": {"third": image, "kind": kind},
        "objects": tfds.features.Sequence({"label": kind}),
        "age": np.int64,
    }
    examples = [
        {
            "image": np.full((8, 8, 1), 200 + number, np.uint8),
            "label": number % 2,
            "second": np.full((8, 8, 1), 10 * number, np.uint8),
            "inner": {"third": np.full((8, 8, 1), 20 * number, np.uint8), "kind": number % 3},
            "objects": [{"label": 0}],
            "age": number,
        }
        for number in range(6)
    ]
    tfds.dataset_builders.AdhocBuilder(
        name="small",
        version="1.0.0",
        data_dir=folder,
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": list(enumerate(examples))},
    ).download_and_prepare()
    return folder


def loaded(folder: Path, **settings: Any) -> ImageData:
    return load_images(
        preset_config("tiny", image_size=8, data="tfds:small", data_dir=str(folder), **settings)
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("tfds"), np.uint8, 3)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_with_many_features(tmp_path_factory.mktemp("tfds"))


@pytest.mark.parametrize(
    ("settings", "scale", "classes"),
    [
        ({"image_feature": "second", "num_classes": 2}, 10, ("odd", "even")),
        (
            {"image_feature": "inner/third", "label_feature": "inner/kind", "num_classes": 3},
            20,
            ("a", "b", "c"),
        ),
    ],
)
def test_features_are_chosen_by_name(
    many: Path, settings: dict[str, Any], scale: int, classes: tuple[str, ...]
) -> None:
    data = loaded(many, **settings)
    numbers = data.train.take(np.arange(6))[:, 0, 0, 0] // scale
    assert sorted(numbers) == list(range(6))
    assert data.class_names == classes
    assert data.train.labels.tolist() == [number % len(classes) for number in numbers]


def test_each_choice_of_features_has_a_cache_of_its_own(many: Path) -> None:
    data: dict[str, Any] = {"data": "tfds:small", "data_dir": str(many), "num_classes": 3}
    chosen: list[dict[str, Any]] = [
        {},
        {"image_feature": "second"},
        {"label_feature": "inner/kind"},
    ]
    configs = [preset_config("tiny", **data, **each) for each in chosen]
    images = [tfds_images("small", config, download=False) for config in configs]
    assert len({each.identity for each in images}) == 3


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("image_feature=picture", "is no feature of tfds:small; expected one of kind Image among"),
        ("image_feature=label", "is ClassLabel in tfds:small; expected one of kind Image among"),
        ("label_feature=age", "is int64 in tfds:small; expected one of kind ClassLabel among"),
        ("label_feature=inner", "is no feature of tfds:small; expected one of kind ClassLabel"),
        ("label_feature=objects/label", "is sequence of ClassLabel in tfds:small; expected one of"),
    ],
)
def test_features_of_another_kind(many: Path, setting: str, message: str) -> None:
    name, _, value = setting.partition("=")
    with pytest.raises(InputError, match=f"^{setting}: {message}") as caught:
        loaded(many, **{name: value}, num_classes=3)
    assert "\n" not in str(caught.value)
    for feature in ("second (Image)", "inner/kind (ClassLabel)", "age (int64)"):
        assert feature in str(caught.value)
    assert "objects/label (sequence of ClassLabel)" in str(caught.value)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_16_bits_are_those_of_8(small: Path, tmp_path: Path, channels: int) -> None:
    deep = loaded(prepared(tmp_path, np.uint16, channels)).train.take(np.arange(20))
    if channels == 3:
        # Levels of 16 bits are rounded to 8, and were cut off.
        difference = deep.astype(int) - loaded(small).train.take(np.arange(20))
        assert set(np.unique(difference)) <= {0, 1}
    assert deep.std() > 60


def test_floating_point_images_need_levels(tmp_path: Path) -> None:
    floats = prepared(tmp_path / "floats", np.float32, 1)
    with pytest.raises(InputError, match="its 'image' is float32, whose range is not known; exp"):
        loaded(floats)
    whole = prepared(tmp_path / "whole", np.uint16, 1)
    for levels in ((0, 65535), (1000, 50000)):
        images, same = (loaded(folder, levels=levels).train for folder in (floats, whole))
        assert images.shape == (8, 8, 1)
        np.testing.assert_array_equal(images.take(np.arange(20)), same.take(np.arange(20)))


@pytest.mark.parametrize(
    ("damage", "left", "message"),
    [
        (
            lambda data: data[: len(data) // 2],
            range(10, 19),
            r"\(its files end too early\) and are",
        ),
        (lambda data: flipped(data, len(data) // 2), range(10, 19), r"\(corrupted record at \d+\)"),
        (lambda data: flipped(data, 0), range(10, 11), r"10 of 20 records .*\(corrupted record at"),
        (lambda _: b"", range(10, 11), "10 of 20 records cannot be read"),
        (lambda data: spoilt(data), range(19, 20), r"left out an image \(.*\)"),
    ],
)
def test_records_that_cannot_be_read_are_left_out(
    small: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[bytes], bytes],
    left: range,
    message: str,
) -> None:
    first = sorted(shutil.copytree(small, tmp_path / "copy").rglob("*tfrecord*"))[0]
    first.write_bytes(damage(first.read_bytes()))
    with caplog.at_level(logging.WARNING, "diffkiln.trainer"):
        assert len(loaded(tmp_path / "copy").train) in left
    assert re.search(message, "\n".join(caplog.messages))
    assert len(caplog.messages) == 1


def test_a_lost_file_is_named(small: Path, tmp_path: Path) -> None:
    first = sorted(shutil.copytree(small, tmp_path / "copy").rglob("*tfrecord*"))[0]
    first.unlink()
    with pytest.raises(InputError, match=rf"data=tfds:small: \S+{first.name}; .*; restore its fi"):
        loaded(tmp_path / "copy")


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def spoilt(data: bytes) -> bytes:
    """A file of records, the first of which holds no picture though it is whole."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/records"
        Path(path).write_bytes(data)
        records: list[Any] = [record.numpy() for record in tf.data.TFRecordDataset(path)]
        with tf.io.TFRecordWriter(path) as writer:
            for record in (records[0].replace(b"PNG", b"GNP"), *records[1:]):
                writer.write(record)
        return Path(path).read_bytes()
