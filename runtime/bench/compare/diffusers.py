"""The process that samples with diffusers: its DDIM pipeline and a U-Net as large as the bundle's.

The network is diffusers' own. It has levels of the same sizes, and its widths are scaled until it
has about as many multiply-adds. The ratio accounts for the remaining difference, which is reported.
"""

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...bundle.bundle import open_bundle
from ...errors import DeviceError
from ..machine import versions
from ..protocol import Answer, Job, Turn, milliseconds

# Widths are multiples of this, so that they can be normalised in this many groups.
_GROUPS = 8

# More tries come no nearer, since widths are multiples of _GROUPS.
_TRIES = 4


@dataclass(frozen=True)
class Shape:
    """The shape of the network, whose input has `patch` x `patch` pixels in each position."""

    height: int
    width: int
    channels: int
    patch: int
    widths: tuple[int, ...]
    blocks: int = 2


def prepare(job: Job) -> tuple[Answer, Turn]:
    """Create the pipeline and sample once; the turn samples again.

    The job's `network` has the `multiply_adds` and `levels` that the process `network` answers.
    """
    torch: Any = importlib.import_module("torch")
    if job["device"] == "cuda" and not torch.cuda.is_available():
        raise DeviceError("PyTorch finds no GPU; install a build of it for CUDA")
    if job["threads"]:
        torch.set_num_threads(job["threads"])
    wanted = job["network"]["multiply_adds"]
    shape = bundle_shape(open_bundle(job["bundle"]).sample_shape, job["network"]["levels"])
    shape, count = nearest(shape, wanted, multiply_adds)
    task = sampling(shape, batch=job["batch"], steps=job["steps"], device=job["device"])
    task()
    about = {
        "multiply_adds": count,
        "versions": versions(["torch", "diffusers"]),
        "note": f"widths {', '.join(map(str, shape.widths))}: {count / wanted:.2f}x multiply-adds",
    }
    return about, lambda: {"ms": milliseconds(task)}


def bundle_shape(sample_shape: Sequence[int], levels: Sequence[Sequence[int]]) -> Shape:
    """Return the shape of a network whose levels are the bundle's convolutions.

    `levels` are (height, width, channels). The first size that is not half of the one before ends
    the list, for it belongs to something else, like an embedding.
    """
    height, _, channels = sample_shape
    top_height, top_width, _ = levels[0]
    widths = []
    for index, (level_height, level_width, level_channels) in enumerate(levels):
        if (level_height << index, level_width << index) != (top_height, top_width):
            break
        widths.append(level_channels)
    return Shape(top_height, top_width, channels, height // top_height, tuple(widths))


def nearest(shape: Shape, wanted: int, count: Callable[[Shape], int]) -> tuple[Shape, int]:
    """Scale the widths until `count` is about `wanted`; return the shape and its multiply-adds."""
    tried: dict[Shape, int] = {}
    scale = 1.0
    for _ in range(_TRIES):
        widths = tuple(max(1, round(width * scale / _GROUPS)) * _GROUPS for width in shape.widths)
        scaled = replace(shape, widths=widths)
        tried[scaled] = count(scaled)
        # Multiply-adds grow with the square of the widths.
        scale *= math.sqrt(wanted / tried[scaled])
    return min(tried.items(), key=lambda entry: abs(math.log(entry[1] / wanted)))


def sampling(shape: Shape, *, batch: int, steps: int, device: str = "cpu") -> Callable[[], object]:
    """Return a function that draws `batch` images in `steps` steps of diffusers' DDIM pipeline."""
    torch: Any = importlib.import_module("torch")
    diffusers: Any = importlib.import_module("diffusers")
    scheduler = diffusers.DDIMScheduler(1000, timestep_spacing="trailing")
    pipeline = diffusers.DDIMPipeline(_network(shape).eval().to(device), scheduler)
    pipeline.set_progress_bar_config(disable=True)

    def task() -> object:
        with torch.inference_mode():
            return pipeline(batch, num_inference_steps=steps, output_type="np")

    return task


def multiply_adds(shape: Shape) -> int:
    """Count the multiply-adds of the network for one image, on the device that computes nothing."""
    torch: Any = importlib.import_module("torch")
    counted = []

    def count(module: Any, _: Any, output: Any) -> None:
        counted.append(output[0].numel() * module.weight[0].numel())

    with torch.device("meta"), torch.inference_mode():
        network = _network(shape)
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                module.register_forward_hook(count)
        size = (1, network.config.in_channels, shape.height, shape.width)
        network(torch.zeros(size), torch.zeros(1))
    return sum(counted)


def _network(shape: Shape) -> Any:
    diffusers: Any = importlib.import_module("diffusers")
    levels = len(shape.widths)
    return diffusers.UNet2DModel(
        sample_size=(shape.height, shape.width),
        in_channels=shape.channels * shape.patch**2,
        out_channels=shape.channels * shape.patch**2,
        block_out_channels=shape.widths,
        layers_per_block=shape.blocks,
        down_block_types=("DownBlock2D",) * levels,
        up_block_types=("UpBlock2D",) * levels,
        norm_num_groups=_GROUPS,
        add_attention=False,
    )
