"""KID of the pictures that bundles of flowers draw, from the validation photographs.

    python benchmarks/bundles.py --bundle=pixels.bundle,latents.bundle --data_dir=DATA

Bundles of any kind can be compared: of pixels, of latents, of two stages. They draw the seeds 0, 1,
…; models with classes show those of the photographs, in turns.
"""

import numpy as np
from absl import app, flags
from flowers import flowers
from measures import Measure, measures, with_error
from numpy.typing import NDArray

from diffkiln.runtime import Sampler

FLAGS = flags.FLAGS
flags.DEFINE_list("bundle", None, "folders that diffkiln-export wrote", required=True)
flags.DEFINE_string("data_dir", None, "folder of the prepared oxford_flowers102", required=True)
flags.DEFINE_integer("images", 408, "samples that each KID is measured on", lower_bound=4)
flags.DEFINE_integer("steps", 20, "denoising steps", lower_bound=1)
flags.DEFINE_float("guidance", 1.0, "guidance of models with classes")
flags.DEFINE_bool("imagenet", False, "measure KID by a network for ImageNet too")


def row(bundle: str, classes: NDArray[np.int64], ways: list[Measure]) -> str:
    """A row of the table."""
    seeds = np.arange(FLAGS.images)
    with Sampler(bundle) as sampler:
        knows = sampler.bundle.class_names
        given = {"labels": classes[seeds % len(classes)].tolist(), "guidance": FLAGS.guidance}
        drawn = sampler.sample(seeds, steps=FLAGS.steps, **(given if knows else {}))
    return f"| {bundle} | {' | '.join(with_error(way(drawn)) for way in ways)} |"


def main(_: list[str]) -> None:
    """Print the table."""
    photographs, classes = flowers("validation", FLAGS.data_dir)
    ways = measures(photographs, imagenet=FLAGS.imagenet)
    print(f"| bundle | {' | '.join(f'KID by {way.features.name}' for way in ways)} |")
    print(f"| --- |{' --- |' * len(ways)}")
    for bundle in FLAGS.bundle:
        print(row(bundle, classes, ways), flush=True)


if __name__ == "__main__":
    app.run(main)
