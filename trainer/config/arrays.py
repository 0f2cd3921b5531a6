"""The settings of a run on arrays that are no pictures: their shape, and what they do not have."""

from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import InputError
from .choices import check_array_shape, require

if TYPE_CHECKING:
    from .train import TrainConfig

# Settings of pictures alone. A run on arrays has these values, and its record leaves them out.
OF_PICTURES: dict[str, Any] = {
    "task": "generation",
    "factor": None,
    "cache": None,
    "image_size": 8,
    "channels": None,
    "levels": None,
    "fit": "crop",
    "augment": "none",
    "picture_size": None,
    "distill_from": None,
    "kid_every_steps": None,
    "kid_images": 512,
    "kid_weights": None,
}


def check_arrays(config: "TrainConfig") -> None:
    """Check that a file of arrays comes with their shape, and without settings of pictures."""
    shape, data = config.array_shape, config.data
    if not data.startswith("npz:"):
        problem = f"only npz: data and latents have it, and data={data}; leave it out"
        require(shape is None or config.latents is not None, f"array_shape={shape}: {problem}")
        return
    expected = f"expected the shape of one sample of data={data}, such as (64, 3); give it"
    require(shape is not None, f"array_shape=None: {expected}")
    check_array_shape(shape or ())
    for name, neutral in OF_PICTURES.items():
        if (value := getattr(config, name)) != neutral:
            refuse_of_pictures(name, value, data)


def refuse_of_pictures(name: str, value: object, data: str) -> NoReturn:
    """Raise InputError for a setting of pictures that was given for arrays."""
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
    problem = f"only pictures have it, and data={data} holds arrays; leave it out"
    raise InputError(f"{name}={shown}: {problem}")
