"""The bundles of tests/golden, which spare the runtime's tests TensorFlow; `python` makes them.

Their networks are small and have seeded random weights, so that anyone makes the same ones.
"""

import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import keras
from enlarging_models import (
    PHOTOGRAPH,
    SMALL_PICTURE,
    SMALL_SHAPE,
    enlarging_network,
    painting_network,
)
from keras import layers
from latent_models import LATENTS, SHAPE, convolutional_decoder, convolutional_encoder
from small_models import PIXELS, array_network, with_random_weights
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
    "conditions.bundle": {
        "graphs": (*FULL, "edit"),
        "default_guidance": 3.0,
        "conditions": {
            "text": {"description": "two words, as numbers", "null": 0.5},
            "age": {"dtype": "int64", "minimum": 3, "maximum": 9, "null": 9},
            "sketch": {"dtype": "uint8", "null": None, "pixel_mean": 0.5, "pixel_std": 0.5},
        },
    },
    "sketches.bundle": {
        "graphs": ("sampler", "noise", "step"),
        "class_names": tuple(SPECIES),
        "solver": "dpmpp_2m",
        "default_guidance": 3.0,
        "conditions": {
            "sketch": {
                "dtype": "uint8",
                "null": None,
                "default": 128,
                "pixel_mean": 0,
                "pixel_std": 1,
            }
        },
    },
    "learned.bundle": {
        "graphs": ("sampler", "denoiser", "noise", "step"),
        "class_names": tuple(SPECIES),
        "solver": "dpmpp_2m",
    },
    "guided.bundle": {
        "graphs": ("sampler", "noise", "step"),
        "class_names": tuple(SPECIES),
        "solver": "dpmpp_2m",
        "guidance_range": (0.5, 4.0),
    },
    "enlarging.bundle": {
        "graphs": ("sampler", "noise", "step"),
        "solver": "dpmpp_2m",
        "prediction": "image",
        "conditions": SMALL_PICTURE,
    },
    "painting.bundle": {
        "graphs": ("sampler", "noise", "step", "inpaint"),
        "conditions": PHOTOGRAPH,
    },
    "arrays.bundle": {
        "graphs": (*FULL, "edit"),
        "class_names": ("rising", "falling"),
        "pixel_mean": None,
        "pixel_std": None,
        "mean": (1.0, -20.0, 0.0),
        "std": (0.5, 10.0, 3.0),
    },
    "latents.bundle": {
        "graphs": ("sampler", "from_noise", "noise", "step", "inpaint", "edit", "encode"),
        **LATENTS,
    },
    "cascade.bundle": {
        "graphs": ("sampler", "from_noise", "noise", "step"),
        "class_names": ("rising", "falling"),
        "then_steps": 5,
    },
}
# Those of other bundles are U-Nets.
NETWORKS = {
    "enlarging.bundle": enlarging_network,
    "painting.bundle": painting_network,
    "arrays.bundle": partial(array_network, (13, 3), classes=2),
    "latents.bundle": partial(array_network, SHAPE),
    "cascade.bundle": partial(array_network, SMALL_SHAPE, classes=2),
}
CODECS = {"latents.bundle": {"decoder": convolutional_decoder, "encoder": convolutional_encoder}}
# What a cascade goes on with.
SECONDS = {"cascade.bundle": "enlarging.bundle"}
# Random numbers, so that every one of them matters.
TABLES = {"learned.bundle": random_tables(2, 5, guidance=(1.0, 4.0))}


def network(name: str) -> keras.Model:
    """The network of the golden bundle of this name."""
    keras.utils.clear_session()  # whose layer names, and so node names, count on through a process
    if name in NETWORKS:
        return NETWORKS[name]()
    if conditions := BUNDLES[name].get("conditions"):
        return conditioned(list(conditions), classes=len(BUNDLES[name].get("class_names", ())))
    shape = NetworkConfig(
        image_size=16,
        widths=(4, 8),
        blocks=1,
        patch_size=1,
        embedding_size=8,
        num_classes=len(BUNDLES[name].get("class_names", ())) or None,
        guidance_range=BUNDLES[name].get("guidance_range"),
    )
    return with_random_weights(build_unet(shape))


def conditioned(names: list[str], *, classes: int) -> keras.Model:
    """Two convolutions that see the conditions of these names, and labels if there are classes."""
    inputs = {"noisy": keras.Input((16, 16, 3), name="noisy"), "time": keras.Input((), name="time")}
    shapes = {"text": (2, 3), "age": (), "sketch": (6, 10, 1)}
    inputs |= {"labels": keras.Input((), dtype="int32", name="labels")} if classes else {}
    inputs |= {
        name: keras.Input(shapes[name], dtype="int32" if name == "age" else None, name=name)
        for name in names
    }
    numbers = {name: classes + 1 if name == "labels" else 10 for name in ("labels", "age")}
    known = [
        layers.Embedding(numbers[name], 4)(given)
        if name in numbers
        else layers.Reshape((-1,))(given)
        for name, given in list(inputs.items())[1:]
    ]
    x = layers.Conv2D(8, 3, padding="same")(inputs["noisy"])
    x += layers.Reshape((1, 1, 8))(layers.Dense(8)(layers.Concatenate()(known)))
    output = layers.Conv2D(3, 3, padding="same")(keras.ops.tanh(x))
    return with_random_weights(keras.Model(list(inputs.values()), output))


def make(name: str, bundle: Path, **changes: Any) -> Path:
    """Export the golden bundle of this name to `bundle`, with changes to its settings."""
    fixed = {**PIXELS, "prediction": "velocity", "saved_model": False}
    settings = {**fixed, **BUNDLES[name], **changes}
    with tempfile.TemporaryDirectory() as folder:
        if name in TABLES:
            path = Path(folder) / "tables.json"
            settings["tables"] = write_tables(path, network(name), TABLES[name], **settings)
        model = network(name)
        if name in CODECS:
            settings |= {role: make() for role, make in CODECS[name].items()}
        if name in SECONDS:
            needed = {"graphs": ("sampler", "denoiser"), "saved_model": settings["saved_model"]}
            settings["then"] = make(SECONDS[name], Path(folder) / SECONDS[name], **needed)
        export_bundle(model, bundle, **settings)
    return bundle


if __name__ == "__main__":
    for name in sys.argv[1:] or BUNDLES:
        shutil.rmtree(GOLDEN / name, ignore_errors=True)
        make(name, GOLDEN / name)
