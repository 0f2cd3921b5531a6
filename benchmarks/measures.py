"""KID from one set of photographs, by the features of one network or of two."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from imagenet_network import imagenet_network
from numpy.typing import NDArray

from diffkiln.trainer.quality.features import FeatureExtractor, extractor
from diffkiln.trainer.quality.kid import KernelDistance, kid

Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Measure:
    """KID of pictures by the features of one network, to those of its reference [m, d]."""

    features: FeatureExtractor
    reference: NDArray[np.float32]

    def __call__(self, pictures: Pictures) -> KernelDistance:
        """KID of pictures uint8 [N, S, S, 3]."""
        return kid(self.features(pictures), self.reference)


def measures(
    photographs: Pictures, *, imagenet: bool, kid_weights: Path | None = None
) -> list[Measure]:
    """What measures distances to these photographs.

    The first is what training measures KID by. `imagenet` adds a network that nobody here has
    trained.
    """
    extractors = [extractor(kid_weights), *([imagenet_network()] if imagenet else [])]
    return [Measure(features, features(photographs)) for features in extractors]


def with_error(distance: KernelDistance) -> str:
    """The distance and its standard error, with as many digits as tell distances apart."""
    digits = 3 if distance.standard_error > 2e-3 else 4
    return f"{distance.mean:.{digits}f} ± {distance.standard_error:.{digits}f}"
