"""Classes: their source in the data, their effect in the network, and guidance."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from pictures import picture

from diffkiln.trainer.config import NetworkConfig, TrainConfig
from diffkiln.trainer.data.batches import batches
from diffkiln.trainer.data.load import load_images, planned_cache
from diffkiln.trainer.data.synthetic.dataset import flowers_of
from diffkiln.trainer.data.synthetic.species import SPECIES
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.maths.guidance import Conditioning, guided_output
from diffkiln.trainer.network.unet import build_unet
from diffkiln.trainer.presets import preset_config
from diffkiln.trainer.run.directory import RunDirectory
from diffkiln.trainer.training.loss import hide_labels

NETWORK = NetworkConfig(image_size=8, widths=(8, 16), blocks=1, patch_size=2, num_classes=3)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Classes a and b, one picture of b deeper down, one of a broken, and one of no class."""
    for number, name in enumerate(["a/0.png", "a/1.png", "b/0.png", "b/x/1.png", "z.png"]):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number, 8).save(path)
    (tmp_path / "photos" / "a/1.png").write_bytes(b"broken")
    return tmp_path / "photos"


def of_folder(folder: Path, **settings: Any) -> TrainConfig:
    return preset_config("tiny", data=f"folder:{folder}", image_size=8, batch_size=5, **settings)


def test_folders_are_classes_and_nothing_takes_the_place_of_another_class(photos: Path) -> None:
    data = load_images(of_folder(photos, num_classes=2))
    assert data.summary().class_names == ("a", "b")
    assert data.train.labels.tolist() == [0, 0, 1, 1, -1]
    first, broken = data.train.take(np.array([0, 1]))
    np.testing.assert_array_equal(first, broken)


def test_a_batch_has_the_label_of_each_of_its_images(photos: Path) -> None:
    config = of_folder(photos, num_classes=2)
    store = load_images(config).train
    of_image = {store.take(np.array([k]))[0].tobytes(): k for k in (0, 2, 3, 4)}
    for images, labels in islice(batches(store, config, first_step=0), 3):
        for image, label in zip(images.numpy(), labels.numpy(), strict=True):
            straight = image if image.tobytes() in of_image else image[:, ::-1]
            assert store.labels[of_image[straight.tobytes()]] == label


def test_without_num_classes_there_are_no_labels(photos: Path) -> None:
    data = load_images(of_folder(photos))
    assert data.summary().class_names == ()
    assert set(data.train.labels.tolist()) == {-1}


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (3, r"num_classes=3: data=folder:\S+ has 2 classes \(a, b\); give num_classes=2, or leave"),
        (0, "num_classes=0: expected a whole number from 1"),
    ],
)
def test_another_number_of_classes_is_refused(photos: Path, count: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_images(of_folder(photos, num_classes=count))


def test_a_flat_folder_has_no_classes(tmp_path: Path) -> None:
    picture(0, 8).save(tmp_path / "0.png")
    with pytest.raises(InputError, match=r"has no classes; expected .* a folder of its own"):
        load_images(of_folder(tmp_path, num_classes=2))


def test_a_class_without_a_readable_picture_is_named(photos: Path) -> None:
    (photos / "a/0.png").unlink()
    with pytest.raises(InputError, match=r"holds 1 pictures of class 'a' and none can be read"):
        load_images(of_folder(photos, num_classes=2))
    assert len(load_images(of_folder(photos)).train) == 4


def test_a_class_that_is_only_held_out_is_named(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (photos / "a").rename(tmp_path / "other" / "a")
    config = of_folder(photos, num_classes=2, eval_split=f"folder:{tmp_path}/other")
    for look in (load_images, planned_cache):
        with pytest.raises(InputError, match="no picture of class 'a' to train on; expected at"):
            look(config)


def test_held_out_pictures_have_the_classes_of_the_others(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "other" / "b").mkdir(parents=True)
    picture(9, 8).save(tmp_path / "other/b/9.png")
    data = load_images(of_folder(photos, num_classes=2, eval_split=f"folder:{tmp_path}/other"))
    images, labels = data.evaluation
    assert (len(images), labels.tolist()) == (1, [1])
    assert data.summary().eval_images == 1
    assert str(data) == " Classes: a, b."


def test_synthetic_flowers_are_of_their_species() -> None:
    labels = [label for _, label in flowers_of(range(60), image_size=8, seed=0)]
    assert set(labels) == set(range(len(SPECIES)))


def test_flowers_have_their_names(flowers_dir: Path) -> None:
    settings = {
        "data": "tfds:oxford_flowers102",
        "data_dir": str(flowers_dir),
        "split": "validation",
        "eval_split": "train[:20]",
        "image_size": 8,
    }
    data = load_images(preset_config("tiny", num_classes=102, **settings))
    assert data.class_names[53] == "sunflower"
    assert np.bincount(data.train.labels).tolist() == [10] * 102
    assert load_images(preset_config("tiny", **settings)).fingerprint != data.fingerprint


def test_a_new_network_ignores_labels_and_a_trained_one_uses_them() -> None:
    network = build_unet(NETWORK)
    for index, variable in enumerate(network.trainable_variables):
        if variable.path.endswith("table"):
            np.testing.assert_array_equal(variable, np.zeros((4, 128)))
        variable.assign(variable + 0.1 * tf.random.stateless_normal(variable.shape, (index, 0)))
    images = tf.repeat(tf.random.stateless_normal([1, 8, 8, 3], (1, 1)), 4, axis=0)
    output = network([images, tf.fill([4], 0.5), tf.constant([-1, 0, 1, 2], tf.int64)]).numpy()
    for one in range(4):
        for other in range(one):
            assert np.abs(output[one] - output[other]).max() > 0.01


class Recording:
    """x + label, and how many images it saw at once."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, inputs) -> tf.Tensor:
        noisy, condition, labels = inputs
        assert noisy.shape[0] == condition.shape[0] == labels.shape[0]
        self.seen.append(noisy.shape[0])
        return noisy + tf.cast(labels, tf.float32)[:, None, None, None] / 3


@pytest.mark.parametrize(("guidance", "images"), [(1.0, 3), (0.0, 6), (2.5, 6)])
def test_guidance_moves_away_from_the_unlabelled_output(guidance: float, images: int) -> None:
    network, noisy = Recording(), tf.random.stateless_normal([3, 2, 2, 1], (0, 0))
    conditioning = Conditioning(tf.constant([0, 4, -1], tf.int64), tf.constant(guidance))
    output = guided_output(network, noisy, tf.fill([3], 0.5), conditioning)
    assert network.seen == [images]
    labelled, unlabelled = network([noisy, noisy[:, 0, 0, 0], conditioning.labels]), noisy - 1 / 3
    expected = unlabelled + guidance * (labelled - unlabelled)
    # Rounding of one sum and one product.
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-6)
    if guidance == 1:
        np.testing.assert_array_equal(output, labelled)


def test_labels_are_dropped_as_often_as_configured() -> None:
    settings = {"image_size": 8, "batch_size": 10_000, "num_classes": 3}
    config = preset_config("tiny", label_dropout=0.25, **settings)
    labels = tf.ones([10_000], tf.int64)
    kept, other = (
        hide_labels(labels, tf.constant(step, tf.int64), config, lambda rows: rows) == labels
        for step in (7, 8)
    )
    # Five standard deviations of 10,000 coins.
    assert abs(float(np.mean(kept)) - 0.75) < 5 * np.sqrt(0.25 * 0.75 / 10_000)
    assert (np.asarray(kept) != np.asarray(other)).any()


def test_a_run_from_before_classes_is_read(tiny_run: Path, tmp_path: Path) -> None:
    content = json.loads((tiny_run / "config.json").read_text())
    del content["data"]["class_names"]
    for name in ("num_classes", "label_dropout"):
        del content["settings"][name]
    (tmp_path / "config.json").write_text(json.dumps(content))
    config, summary = RunDirectory(tmp_path).read_config()
    assert (config.num_classes, config.label_dropout, summary.class_names) == (None, 0.1, ())
