"""The bundles of tests/golden, which spare the runtime's tests TensorFlow; `python` makes them.

Their networks are small U-Nets with seeded random weights, so that anyone makes the same ones.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
from small_models import PIXELS, with_random_weights
from small_tables import random_tables, write_tables

from diffkiln.export import export_bundle
from diffkiln.trainer.config import NetworkConfig
from diffkiln.trainer.data.synthetic.species import SPECIES
from diffkiln.trainer.network.unet import build_unet

GOLDEN = Path(__file__).with_name("golden")
FULL = ("sampler", "from_noise", "denoiser", "noise", "step", "encode", "trajectory", "inpaint")
BUNDLES: dict[str, dict[str, Any]] = {
    "full.bundle": {"graphs": FULL},
    "classes.bundle": {
        "graphs": ("sampler", "from_noise", "noise", "step", "encode", "inpaint"),
        "class_names": tuple(SPECIES),
        "default_guidance": 20.0,
    },
    "fresh.bundle": {
        "graphs": ("sampler", "noise", "step"),
        "eta": 0.7,
        "image_dtype": "float32",
    },
    "learned.bundle": {
        "graphs": ("sampler", "denoiser", "noise", "step"),
        "class_names": tuple(SPECIES),
        "solver": "dpmpp_2m",
    },
}
# Random numbers, so that every one of them matters.
TABLES = {"learned.bundle": random_tables(2, 5, guidance=(1.0, 4.0))}


def network(name: str) -> keras.Model:
    """The network of the golden bundle of this name."""
    keras.utils.clear_session()  # whose layer names, and so node names, count on through a process
    shape = NetworkConfig(
        image_size=16,
        widths=(4, 8),
        blocks=1,
        patch_size=1,
        embedding_size=8,
        num_classes=len(BUNDLES[name].get("class_names", ())) or None,
    )
    return with_random_weights(build_unet(shape))


def make(name: str, bundle: Path, *, saved_model: bool = False, litert: bool = False) -> Path:
    """Export the golden bundle of this name to `bundle`, with a SavedModel and more if asked."""
    fixed = {**PIXELS, "prediction": "velocity", "saved_model": saved_model, "litert": litert}
    settings = {**fixed, **BUNDLES[name]}
    with tempfile.TemporaryDirectory() as folder:
        if name in TABLES:
            path = Path(folder) / "tables.json"
            settings["tables"] = write_tables(path, network(name), TABLES[name], **settings)
        export_bundle(network(name), bundle, **settings)
    return bundle


if __name__ == "__main__":
    for name in sys.argv[1:] or BUNDLES:
        shutil.rmtree(GOLDEN / name, ignore_errors=True)
        make(name, GOLDEN / name)
