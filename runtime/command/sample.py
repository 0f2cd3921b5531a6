"""`diffkiln-sample`: pictures, animations, folders or arrays of images from a bundle."""

import time
from collections.abc import Mapping
from typing import Any

from ..bundle.bundle import open_bundle, shipped_bundle
from ..device.device import DEVICES
from ..limits import MAX_BATCH, MAX_SCALE, MAX_THREADS, SEED_END
from .conditions import named_value
from .options import Option, file_path, integer, name_list, number, one_of, whole_number
from .outputs import checked_output, write
from .program import Command, load_sampler
from .request import checked_task
from .seeds import parse_seeds, parse_shard

_SAMPLER_FLAGS = ("device", "threads", "max_batch", "low_power", "tf32")

SEED = whole_number(0, SEED_END - 1)

# Numbers without a range here are checked as a Sampler's arguments are, against the bundle.
OPTIONS = (
    Option("bundle", file_path, "what diffkiln-export wrote; by default the bundled flowers"),
    Option(
        "out", file_path, "what to write: a .png, .webp, .jpg, .gif, .npz or folder", required=True
    ),
    Option("count", integer, "how many images; by default 16, or 1 with --upscale"),
    Option("seed", integer, "seed of the first image, plus 1 for each next image; by default 0"),
    Option("seeds", parse_seeds, "seeds like 3,7,9-12 instead of --count and --seed"),
    Option("steps", integer, "denoising steps; by default the bundle's"),
    Option("label", name_list, "classes to show in turn, by name or number; none for no class"),
    Option(
        "guidance", number, "how strongly to show a class or condition; by default the bundle's"
    ),
    Option(
        "condition",
        named_value,
        "NAME=VALUE, a further input of the network: a .npy file, a picture or numbers",
        repeated=True,
    ),
    Option("interpolate_to", SEED, "go from --seed's picture to this seed's, in --count images"),
    Option("inpaint", file_path, "a photograph to repaint where --mask is white"),
    Option("mask", file_path, "a black and white picture as large as that photograph"),
    Option("edit", file_path, "a photograph to redraw, as freely as --strength says"),
    Option("strength", number, "part of the steps that --edit takes, above 0 to 1; by default 0.6"),
    Option("reconstruct", file_path, "a photograph to encode as noise and draw again"),
    Option("upscale", file_path, "a picture to enlarge with a super-resolution network"),
    Option("scale", whole_number(1, MAX_SCALE), "enlarge each pixel this many times", "1"),
    Option("shard", parse_shard, "draw one part of the images, such as 3/16, except finished ones"),
    Option("device", one_of(DEVICES), "auto, cpu, cuda or openvino", "auto"),
    Option("threads", whole_number(1, MAX_THREADS), "CPU threads; by default the physical cores"),
    Option("max_batch", whole_number(1, MAX_BATCH), "most images at once; by default measured"),
    Option("low_power", None, "let waiting threads sleep, to leave the CPU to other programs"),
    Option("tf32", None, "faster but less exact convolutions on an NVIDIA GPU"),
)


def _sample(values: Mapping[str, Any]) -> None:
    bundle = open_bundle(values["bundle"] or shipped_bundle())
    task = checked_task(values, bundle)
    output = checked_output(values, bundle, task)
    start = time.perf_counter()
    for graph in task.settings.graphs:
        bundle.graph(graph).begin()  # to check it, while onnxruntime is imported
    settings = {name: values[name] for name in _SAMPLER_FLAGS}
    with load_sampler(bundle, **settings) as sampler:
        written = write(task, output, sampler)
        device = sampler.device
    seconds = time.perf_counter() - start
    shard = "" if values["shard"] is None else f"shard {values['shard']}, "
    there = len(task.numbers) - written
    print(
        f"wrote {output.path}: {shard}count {written}, {f'{there} were there, ' if there else ''}"
        f"{task.origin}, steps {task.settings.steps}, device {device}, {seconds:.2f} s",
        flush=True,
    )


COMMAND = Command(
    program="diffkiln-sample",
    purpose="Sample images from an exported bundle.",
    example="diffkiln-sample --bundle=flowers.bundle --count=16 --steps=20 --out=flowers.png",
    options=OPTIONS,
    body=_sample,
)
main = COMMAND.main
