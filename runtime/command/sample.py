"""`diffkiln-sample`: pictures, animations, folders or arrays of images from a bundle."""

import time
from collections.abc import Mapping
from typing import Any

from ..bundle.bundle import open_bundle, shipped_bundle
from ..device.device import DEVICES
from ..limits import MAX_BATCH, MAX_COUNT, MAX_GUIDANCE, MAX_STEPS, MAX_THREADS, SEED_END
from .options import Option, file_path, name_list, number, one_of, seed_list, whole_number
from .outputs import write
from .program import Command, load_sampler
from .request import checked_request, needed_graphs
from .shard import parse_shard

MAX_SCALE = 64

_SEED = whole_number(0, SEED_END - 1)

OPTIONS = (
    Option("bundle", file_path, "what diffkiln-export wrote; by default flowers brought along"),
    Option(
        "out", file_path, "what to write: a .png, .gif or .npz, or a folder of PNGs", required=True
    ),
    Option("count", whole_number(1, MAX_COUNT), "how many images; by default 16"),
    Option("seed", _SEED, "seed of the first image, then one more each; by default 0"),
    Option("seeds", seed_list, "seeds like 3,7,9-12 instead of --count and --seed"),
    Option("steps", whole_number(1, MAX_STEPS), "denoising steps; by default the bundle's"),
    Option("label", name_list, "classes to show, by name or number, in turn; none for no class"),
    Option("guidance", number(0, MAX_GUIDANCE), "how much of a class; by default the bundle's"),
    Option("interpolate_to", _SEED, "go from the picture of --seed to that of this, in --count"),
    Option("inpaint", file_path, "a photograph to paint anew where --mask is white"),
    Option("mask", file_path, "a picture as large as that photograph, white and black"),
    Option("reconstruct", file_path, "a photograph to encode as noise and draw again"),
    Option("scale", whole_number(1, MAX_SCALE), "enlarge each pixel so many times", "1"),
    Option("shard", parse_shard, "make part 3/16 of the images, and none that is there already"),
    Option("device", one_of(DEVICES), "auto, cpu, cuda or openvino", "auto"),
    Option("threads", whole_number(1, MAX_THREADS), "CPU threads; by default the physical cores"),
    Option("max_batch", whole_number(1, MAX_BATCH), "most images at once; by default measured"),
    Option("low_power", None, "leave the CPU to others while a thread waits"),
    Option("tf32", None, "faster and less exact convolutions on an NVIDIA GPU"),
)


def _sample(values: Mapping[str, Any]) -> None:
    bundle = open_bundle(values["bundle"] or shipped_bundle())
    task, output = checked_request(values, bundle)
    start = time.perf_counter()
    for graph in needed_graphs(task, output):
        bundle.graph(graph).begin()  # to check it, while onnxruntime is imported
    with load_sampler(
        bundle,
        device=values["device"],
        threads=values["threads"],
        max_batch=values["max_batch"],
        low_power=bool(values["low_power"]),
        tf32=bool(values["tf32"]),
    ) as sampler:
        made = write(task, output, sampler)
        device = sampler.device
    seconds = time.perf_counter() - start
    shard = "" if values["shard"] is None else f"shard {values['shard']}, "
    there = len(task.numbers) - made
    print(
        f"wrote {output.path}: {shard}count {made}, {f'{there} were there, ' if there else ''}"
        f"{task.origin}, steps {task.steps}, device {device}, {seconds:.2f} s",
        flush=True,
    )


main = Command(
    program="diffkiln-sample",
    purpose="Sample images from an exported bundle.",
    example="diffkiln-sample --bundle=flowers.bundle --count=16 --steps=20 --out=flowers.png",
    options=OPTIONS,
    body=_sample,
).main
