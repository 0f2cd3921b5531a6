"""KID of pictures that are worse by a certain amount: its scale, and its floor.

    python benchmarks/kid_scale.py --data_dir=DATA

Each set is compared with the validation pictures of Oxford Flowers, by the features that training
uses, and with --imagenet by those of a network for ImageNet too.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import app, flags
from flowers import flowers
from measures import Pictures, measures, with_error
from PIL import Image, ImageFilter

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "folder of the prepared oxford_flowers102", required=True)
flags.DEFINE_string("kid_weights", None, "InceptionV3's weights, as for diffkiln-train")
flags.DEFINE_bool("imagenet", False, "measure by the features of a network for ImageNet too")
flags.DEFINE_integer("image_size", 64, "height and width in pixels", lower_bound=8)
flags.DEFINE_integer("images", 1020, "most pictures of each set", lower_bound=4)


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
    held_out = pictures("validation")
    weights = Path(FLAGS.kid_weights) if FLAGS.kid_weights else None
    ways = measures(held_out, imagenet=FLAGS.imagenet, kid_weights=weights)
    print(f"KID from {len(held_out):,} validation pictures")
    print(" " * 32, *(f"{measure.features!s:>38}" for measure in ways))
    for name, images in compared(pictures("train")):
        distances = (f"{with_error(measure(images)):>38}" for measure in ways)
        print(f"{name:32}", *distances, flush=True)


if __name__ == "__main__":
    app.run(main)
