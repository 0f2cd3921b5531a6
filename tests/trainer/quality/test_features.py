"""What KID compares pictures by: the network that is shipped, and InceptionV3 from a file."""

import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from pictures import synthetic_flowers
from PIL import Image, ImageFilter

from diffkiln.trainer.data.tfds import tfds_images
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.presets import preset_config
from diffkiln.trainer.quality.features import (
    FLOWER_FILE,
    INCEPTION_FILE,
    FeatureExtractor,
    extractor,
    flower_network,
    inception,
)
from diffkiln.trainer.quality.kid import KernelDistance, kid

Pictures = NDArray[np.uint8]

# Keras reads variables in a way that NumPy will give up one day.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def shipped() -> FeatureExtractor:
    return flower_network()


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """InceptionV3 with random weights, in the layout of the file that Keras publishes."""
    keras.utils.set_random_seed(0)
    no_weights: Any = None  # which Keras's annotations leave out
    network = keras.applications.InceptionV3(weights=no_weights, include_top=False, pooling="avg")
    path = tmp_path_factory.mktemp("weights") / "random.h5"
    network.save(path)
    return path


def noise(count: int, size: int = 64) -> Pictures:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def blurred(images: Pictures, radius: float) -> Pictures:
    blur = ImageFilter.GaussianBlur(radius)
    return np.stack([np.asarray(Image.fromarray(image).filter(blur)) for image in images])


@pytest.mark.parametrize("size", [16, 64, 150])
def test_the_shipped_network_takes_any_size(shipped: FeatureExtractor, size: int) -> None:
    values = shipped(noise(3, size))
    assert (values.shape, values.dtype) == ((3, 64), np.float32)
    assert np.isfinite(values).all()


def test_features_are_each_images_own(shipped: FeatureExtractor) -> None:
    images = synthetic_flowers(40, image_size=32, seed=0)
    # Another batch size may sum a convolution in another order, in float32.
    np.testing.assert_allclose(shipped(images)[35:], shipped(images[35:]), rtol=1e-4, atol=1e-5)


def test_the_shipped_file_is_small_and_known_by_its_bytes(shipped: FeatureExtractor) -> None:
    content = resources.files("diffkiln.trainer.quality").joinpath(FLOWER_FILE).read_bytes()
    assert len(content) <= 150_000
    assert str(shipped) == f"flower network ({shipped.fingerprint[:12]})"
    flipped = bytearray(content)
    flipped[len(flipped) // 2] ^= 1
    with pytest.raises(InputError, match=r"^flower_features.npz: has SHA-256 .* install diffkiln"):
        flower_network(bytes(flipped))


@pytest.mark.parametrize(
    "images",
    [noise(2).astype(np.float32), noise(2)[0], noise(2)[..., :1], noise(2)[:0]],
    ids=["float32", "one", "grey", "none"],
)
def test_other_arrays_are_refused(shipped: FeatureExtractor, images: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"^images: .* expected uint8 \[N, S, S, 3\]"):
        shipped(images)


@pytest.fixture(scope="module")
def flowers(flowers_dir: Path) -> dict[str, Pictures]:
    settings = {"data": "tfds:oxford_flowers102", "data_dir": str(flowers_dir)}
    configs = [
        preset_config("flowers64", split=split, **settings)
        for split in ("validation[:600]", "train[:600]")
    ]
    return {
        str(config.split): np.stack(
            [image for image, _ in tfds_images("oxford_flowers102", config, download=False).train()]
        )
        for config in configs
    }


def test_flowers_are_nearer_to_flowers_than_anything_else(
    shipped: FeatureExtractor, flowers: dict[str, Pictures]
) -> None:
    held_out, others = flowers.values()

    def distance(images: Pictures) -> KernelDistance:
        return kid(shipped(images), shipped(held_out))

    same = distance(others)
    for name, images in {
        "blurred by 1 pixel": blurred(others, 1),
        "blurred by 2 pixels": blurred(others, 2),
        "noise": noise(600),
        "synthetic": synthetic_flowers(600, image_size=64, seed=0),
        "noisy": np.clip(others + 25.0 * (noise(600) / 127.5 - 1), 0, 255).astype(np.uint8),
    }.items():
        other = distance(images)
        assert other.mean > 5 * max(same.mean, same.standard_error), name


def test_inception_sees_what_its_file_says(inception_file: Path) -> None:
    features = extractor(inception_file)
    images = synthetic_flowers(2, image_size=32, seed=0)
    network: Any = keras.models.load_model(inception_file, compile=False)
    resized = keras.ops.image.resize(images.astype(np.float32), (299, 299))
    expected = network(keras.applications.inception_v3.preprocess_input(np.array(resized)))
    received = features(images)
    assert features.name == "InceptionV3"
    assert received.shape == (2, 2048)
    # A graph fuses what the other computes one by one, 48 layers deep in float32.
    np.testing.assert_allclose(received, expected, rtol=1e-3, atol=1e-5)


def test_inception_is_loaded_from_the_cache_of_keras(
    inception_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    shutil.copy(inception_file, tmp_path / "models" / INCEPTION_FILE)
    for home, name in ((tmp_path, "InceptionV3"), (tmp_path / "elsewhere", "flower network")):
        monkeypatch.setenv("KERAS_HOME", str(home))
        assert extractor().name == name


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no weights")
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(tmp_path / "other.h5")
    for name, reason in {
        "none.h5": "No such file",
        "text.h5": "",
        "other.h5": "",
        "": "directory",
    }.items():
        with pytest.raises(InputError) as refused:
            inception(tmp_path / name)
        message = str(refused.value)
        assert message.startswith(f"kid_weights={tmp_path / name}: cannot be read as weights of")
        assert reason in message
        assert INCEPTION_FILE in message
