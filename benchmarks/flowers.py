"""The photographs of Oxford Flowers 102, prepared for tensorflow-datasets."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diffkiln.trainer.data.tfds import tfds_images
from diffkiln.trainer.presets import preset_config

NAME = "oxford_flowers102"


def flowers(
    split: str, data_dir: str | Path, image_size: int = 64
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the pictures [N, S, S, 3] of a split, cropped and scaled, and their species [N]."""
    config = preset_config(
        "tiny", data=f"tfds:{NAME}", data_dir=data_dir, split=split, image_size=image_size
    )
    images, labels = zip(*tfds_images(NAME, config, download=False).train(), strict=True)
    return np.stack(images), np.array(labels, np.int64)
