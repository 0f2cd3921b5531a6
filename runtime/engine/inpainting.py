"""What a network that was trained to inpaint is given: the photograph and the mask, as conditions.

Palette (arXiv 2111.05826) is such a network. It knows the photograph around the hole from the
first step on.
"""

import numpy as np

from ..bundle.bundle import Bundle
from ..bundle.tasks import HOLES, KNOWN, is_trained_to_paint


def inpainting_graph(bundle: Bundle) -> str:
    """Return the graph that paints: "inpaint", or "sampler" if the network needs no other."""
    trained = is_trained_to_paint(bundle) and "inpaint" not in bundle.graphs
    return "sampler" if trained else "inpaint"


def inpainting_conditions(
    bundle: Bundle, images: np.ndarray, mask: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the photographs and masks as the network's conditions; none for other networks.

    `images` are of the bundle's dtype, and `mask` is uint8 [N, height, width, 1], 0 where a pixel
    stays. The network is given uint8, and 255 where to paint.
    """
    if not is_trained_to_paint(bundle):
        return {}
    pixels = images if images.dtype == np.uint8 else np.rint(255 * images).astype(np.uint8)
    return {KNOWN: pixels, HOLES: np.where(mask, np.uint8(255), np.uint8(0))}
