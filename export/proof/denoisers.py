"""A bundle's own denoiser as the network that the float64 reference drives."""

from typing import Any

import numpy as np

from ..graphs.graph import Call
from .reference_guidance import Network, ReferenceConditioning


def network_of(denoiser: Call, names: frozenset[str]) -> Network:
    """A bundle's denoiser, with inputs of these names, as x̂_0 of images at times, and v."""

    def image(
        noisy: np.ndarray, time: np.ndarray, told: np.ndarray, *more: ReferenceConditioning
    ) -> np.ndarray:
        times = {"time": time, "network_time": told} if "network_time" in names else {"time": told}
        inputs: dict[str, Any] = {"noisy": noisy, **times}
        for given in more:
            inputs |= {**given.shown, "guidance": np.array(given.guidance, np.float32)}
        outputs = denoiser({name: inputs[name] for name in names})
        wanted = [name for name in ("image", "sample", "variance_fraction") if name in outputs]
        return np.concatenate([outputs[name] for name in wanted], axis=-1)

    return image
