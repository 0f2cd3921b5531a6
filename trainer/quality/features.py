"""Feature extractors for KID: InceptionV3 if its weights are available, else the flower network.

Distances from different extractors cannot be compared, so each has a name and a fingerprint.
"""

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ..errors import InputError

INCEPTION_FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
INCEPTION_SIZE = 299
FLOWER_FILE = "flower_features.npz"
FLOWER_SHA256 = "48b6c6db3aae947213483653bce400b3b382723f3678f1ff22957396d0ab3099"
_BATCH = 32

# The flower network, which `benchmarks/train_features.py` trains to classify species of flowers: it
# folds the normalisation into the convolutions, and leaves the last layer out.
INPUT_SIZE = 64
# For each 3×3 convolution: its stride, and whether a 2×2 max pooling follows.
STRIDES = (2, 1, 1, 1, 1)
POOLED = (False, True, True, False, False)


@dataclass(frozen=True)
class FeatureExtractor:
    """A function of images uint8 [N, S, S, 3] to features float32 [N, d].

    `fingerprint` is the SHA-256 of the file with its weights.
    """

    name: str
    fingerprint: str
    of_batch: Callable[[tf.Tensor], tf.Tensor]

    def __call__(
        self, images: NDArray[np.uint8], check: Callable[[], None] = lambda: None
    ) -> NDArray[np.float32]:
        """Features of any number of images of any size; ValueError for anything but images.

        `check` is called between batches, and may raise an error to leave the work.
        """
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8 or not len(images):
            received = f"{images.dtype} {list(images.shape)}"
            raise ValueError(f"images: {received}, expected uint8 [N, S, S, 3] with N > 0")
        parts = []
        for start in range(0, len(images), _BATCH):
            check()
            part = tf.constant(images[start : start + _BATCH])
            parts.append(self.of_batch(part).numpy())
        return np.concatenate(parts)

    def __str__(self) -> str:
        return f"{self.name} ({self.fingerprint[:12]})"


def extractor(kid_weights: Path | None = None) -> FeatureExtractor:
    """InceptionV3 with the weights of this file, or of Keras's cache; else the flower network.

    Nothing is downloaded. Raises InputError for a file that does not hold InceptionV3's weights.
    """
    if kid_weights is not None:
        return inception(kid_weights)
    keras_home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    cached = keras_home / "models" / INCEPTION_FILE
    return inception(cached) if cached.is_file() else flower_network()


def inception(path: Path) -> FeatureExtractor:
    """The 2048 pooled features of Keras's InceptionV3 (arXiv 1512.00567), of 299×299 pixels.

    Raises InputError for a file that does not hold exactly its weights.
    """
    try:
        fingerprint = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise _no_inception(path, error.strerror or str(error)) from error
    no_weights: Any = None  # Keras accepts None, but its annotations do not.
    shape = (INCEPTION_SIZE, INCEPTION_SIZE, 3)
    network = keras.applications.InceptionV3(
        weights=no_weights, include_top=False, pooling="avg", input_shape=shape
    )
    try:
        with warnings.catch_warnings():
            # Keras only warns where a file lacks weights, and leaves random ones in their place.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(path)
    except (ValueError, OSError, KeyError, AttributeError, UserWarning) as error:
        raise _no_inception(path, " ".join(str(error).split())[:200]) from error
    if not all(np.isfinite(values).all() for values in network.get_weights()):
        raise _no_inception(path, "some are not finite")

    @tf.function(reduce_retracing=True)
    def of_batch(images: tf.Tensor) -> tf.Tensor:
        return network(prepared(resized(images, INCEPTION_SIZE)), training=False)

    return FeatureExtractor("InceptionV3", fingerprint, of_batch)


def _no_inception(path: Path, reason: str) -> InputError:
    return InputError(
        f"kid_weights={path}: cannot be read as weights of InceptionV3 ({reason}); expected "
        f"{INCEPTION_FILE} of Keras; leave the flag out for the features bundled with diffkiln"
    )


def flower_network(content: bytes | None = None) -> FeatureExtractor:
    """The 64 features of a small network for species of flowers, bundled with this package.

    `content` replaces the bundled file's bytes. Raises InputError unless they are the same bytes.
    """
    if content is None:
        content = Path(__file__).with_name(FLOWER_FILE).read_bytes()
    fingerprint = hashlib.sha256(content).hexdigest()
    if fingerprint != FLOWER_SHA256:
        received = f"has SHA-256 {fingerprint[:12]}…, expected {FLOWER_SHA256[:12]}…"
        raise InputError(f"{FLOWER_FILE}: {received}; install diffkiln again")
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        weights = {name: file[name].astype(np.float32) for name in file.files}
    return FeatureExtractor("flower network", fingerprint, lambda images: features(images, weights))


def prepared(pixels: tf.Tensor) -> tf.Tensor:
    """The network's input, in [−1, 1], from pixels float32 in [0, 255]."""
    return pixels / 127.5 - 1.0


def resized(images: tf.Tensor, size: int) -> tf.Tensor:
    """Pixels float32 [N, size, size, 3] in [0, 255] of images uint8 [N, S, S, 3]."""
    # Antialiased, since a large picture must not look sharper than a small one.
    return tf.image.resize(tf.cast(images, tf.float32), (size, size), antialias=True)


def features(images: tf.Tensor, weights: Mapping[str, np.ndarray]) -> tf.Tensor:
    """Features float32 [N, d] of images uint8 [N, S, S, 3], resized to `INPUT_SIZE`.

    `weights` are `kernel_k` [3, 3, C, D] and `bias_k` [D] of each convolution k.
    """
    x = prepared(resized(images, INPUT_SIZE))
    for index, (stride, pool) in enumerate(zip(STRIDES, POOLED, strict=True)):
        kernel = tf.cast(weights[f"kernel_{index}"], tf.float32)
        bias = tf.cast(weights[f"bias_{index}"], tf.float32)
        x = tf.nn.relu(tf.nn.conv2d(x, kernel, stride, "SAME") + bias)
        x = tf.nn.max_pool2d(x, 2, 2, "VALID") if pool else x
    return tf.reduce_mean(x, [1, 2])
