"""KID of pictures that are worse by a certain amount: its scale, and its floor.

    python benchmarks/kid_scale.py --data_dir=DATA

Each set is compared with the validation pictures of Oxford Flowers, by the features that training
uses.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import app, flags
from flowers import flowers
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from diffkiln.trainer.quality.features import extractor
from diffkiln.trainer.quality.kid import kid

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "folder of the prepared oxford_flowers102", required=True)
flags.DEFINE_string("kid_weights", None, "InceptionV3's weights, as for diffkiln-train")
flags.DEFINE_integer("image_size", 64, "height and width in pixels", lower_bound=8)
flags.DEFINE_integer("images", 1020, "most pictures of each set", lower_bound=4)

Pictures = NDArray[np.uint8]


def pictures(split: str) -> Pictures:
    return flowers(f"{split}[:{FLAGS.images}]", FLAGS.data_dir, FLAGS.image_size)[0]


def blurred(images: Pictures, radius: float) -> Pictures:
    blur = ImageFilter.GaussianBlur(radius)
    return np.stack([np.asarray(Image.fromarray(image).filter(blur)) for image in images])


def compared(train: Pictures) -> Iterator[tuple[str, Pictures]]:
    noise = np.random.default_rng(0).integers(0, 256, train.shape, np.uint8)
    yield "train", train
    yield "test", pictures("test")
    for radius in (0.5, 1, 2):
        yield f"train, blurred by {radius} pixels", blurred(train, radius)
    noisy = np.clip(train + 25.0 * (noise / 127.5 - 1), 0, 255)
    yield "train, ±25 of noise", noisy.astype(np.uint8)
    yield "noise", noise


def main(_: list[str]) -> None:
    features = extractor(Path(FLAGS.kid_weights) if FLAGS.kid_weights else None)
    held_out = features(pictures("validation"))
    print(f"KID from {len(held_out):,} validation pictures by {features}")
    for name, images in compared(pictures("train")):
        distance = kid(features(images), held_out)
        print(f"  {name:32} {distance.mean:9.4f} ± {distance.standard_error:.4f}", flush=True)


if __name__ == "__main__":
    app.run(main)
