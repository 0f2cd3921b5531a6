"""Which features of a tensorflow-datasets data set are the images and their classes."""

import functools
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..config import TrainConfig
from ..errors import InputError

_SEQUENCE = "sequence of"


def chosen_features(name: str, features: Any, config: TrainConfig) -> tuple[str, str | None]:
    """The image feature and the class label of data set `name`, None if there is no label.

    They are those that `config` names, with a slash before a feature inside another, or else the
    first of their kind at the top. Raises InputError for a feature that does not exist or is of
    another kind, for floating-point images without `config.levels`, and if there is no image.
    """
    import tensorflow_datasets as tfds

    image = _chosen(name, features, "image_feature", config.image_feature, tfds.features.Image)
    if image is None:
        raise InputError(f"data=tfds:{name}: has no image feature; choose a data set of images")
    dtype = value_at(features, image).np_dtype
    if dtype not in (np.uint8, np.uint16) and not config.levels:
        problem = f"its {image!r} is {np.dtype(dtype)}, whose range is not known"
        remedy = "give the levels of black and white, such as --levels=0,1"
        raise InputError(f"data=tfds:{name}: {problem}; expected uint8 or uint16; {remedy}")
    of_label = "label_feature", config.label_feature, tfds.features.ClassLabel
    return image, _chosen(name, features, *of_label)


def value_at(values: Any, feature: str) -> Any:
    """What nested dicts have for a feature, whose name has a slash where it is inside another."""
    return functools.reduce(operator.getitem, feature.split("/"), values)


def _chosen(name: str, features: Any, setting: str, value: str | None, kind: type) -> str | None:
    if value is None:
        return next((key for key, each in features.items() if isinstance(each, kind)), None)
    kinds = dict(_kinds(features))
    single = value in kinds and not kinds[value].startswith(_SEQUENCE)
    if single and isinstance(value_at(features, value), kind):
        return value
    is_what = f"is {kinds[value]} in" if value in kinds else "is no feature of"
    listed = ", ".join(f"{each} ({of_kind})" for each, of_kind in kinds.items())
    expected = f"expected one of kind {kind.__name__} among {listed}"
    raise InputError(f"{setting}={value}: {is_what} tfds:{name}; {expected}")


def _kinds(features: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """Each feature and what it is, with those inside others."""
    import tensorflow_datasets as tfds

    for key, feature in features.items():
        inside = isinstance(feature, tfds.features.Sequence)
        held: Any = feature.feature if inside else feature
        if isinstance(held, tfds.features.FeaturesDict):
            within = _kinds(held, f"{before}{key}/")
        else:
            plain = type(held).__name__
            dtype = str(np.dtype(held.np_dtype))
            within = [(f"{before}{key}", dtype if plain in ("Tensor", "Scalar") else plain)]
        for path, kind in within:
            yield path, f"{_SEQUENCE} {kind}" if inside else kind
