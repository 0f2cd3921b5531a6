"""What a network was trained to do with pictures, as the names of its conditions tell."""

from ..errors import BundleError
from .bundle import Bundle
from .conditions import SMALL

KNOWN, HOLES = "masked_image", "paint_mask"


def upscaling_factor(bundle: Bundle) -> int:
    """Return how many times larger the network makes a picture, at least 2.

    It has the condition `low_resolution` then, a smaller picture of the same channels. Raises
    BundleError for any other network.
    """
    if what := _of_another_kind(bundle):
        raise BundleError(f"{bundle.path} draws {what}, and enlarges none; use another bundle")
    height, width, channels = bundle.sample_shape
    for each in bundle.conditions:
        if (each.name, each.dtype, len(each.shape)) == (SMALL, "uint8", 3):
            factor = height // each.shape[0]
            small = (height // max(factor, 1), width // max(factor, 1), channels)
            if factor >= 2 and height % factor == width % factor == 0 and each.shape == small:
                return factor
    expected = f"expected the condition {SMALL}, uint8 [height, width, {channels}], of which "
    size = f"{height} x {width} is a multiple"
    raise BundleError(f"{bundle.path} enlarges no pictures, {expected}{size}; use another bundle")


def checked_factor(bundle: Bundle) -> int:
    """Do what `upscaling_factor` does; BundleError too unless it can be done tile by tile."""
    factor = upscaling_factor(bundle)
    bundle.require_graphs("noise", "step")
    if "seeds" in bundle.carried():
        problem = "draws fresh noise in each step, expected a deterministic sampler"
        raise BundleError(f"{bundle.path} {problem}; export the model with --eta=0")
    return factor


def is_trained_to_paint(bundle: Bundle) -> bool:
    """Whether the network is told the photograph and the mask: `masked_image` and `paint_mask`."""
    if _of_another_kind(bundle):
        return False
    height, width, channels = bundle.sample_shape
    inputs = {(each.name, each.dtype, each.shape) for each in bundle.conditions}
    photo, mask = (height, width, channels), (height, width, 1)
    return {(KNOWN, "uint8", photo), (HOLES, "uint8", mask)} <= inputs


def _of_another_kind(bundle: Bundle) -> str:
    """What a bundle draws instead of the pixels that its network denoises, in words; or ""."""
    if bundle.draws_arrays:
        return "arrays that are no pictures"
    if bundle.latent_shape is not None:
        return "pictures of latents"
    return "pictures of two stages" if bundle.factor > 1 else ""
