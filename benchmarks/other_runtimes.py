"""The same work in OpenVINO and in diffusers, for `baking.py`, where they are installed.

pip install '.[bench]'
"""

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx

Task = Callable[[], object]


def is_installed(*packages: str) -> bool:
    """Whether all of these can be imported."""
    return all(importlib.util.find_spec(package) for package in packages)


def openvino_task(denoiser: onnx.ModelProto, feeds: dict[str, np.ndarray], calls: int) -> Task:
    """Run a flat denoiser graph `calls` times."""
    core = importlib.import_module("openvino").Core()
    # Its default is bfloat16 where the processor has it.
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    model = core.compile_model(core.read_model(denoiser.SerializeToString()), "CPU", settings)
    request = model.create_infer_request()
    given = {value.name: feeds[value.name] for value in denoiser.graph.input}
    return lambda: [request.infer(given) for _ in range(calls)]


def diffusers_task(
    widths: Sequence[int], shape: tuple[int, ...], patch: int, blocks: int, steps: int
) -> tuple[Task, int]:
    """The DDIM pipeline of a U-Net of these widths and as many blocks; its multiply-adds per image.

    `shape` is [N, H, W, C]. It gets the images in patches, as ours makes them.
    """
    torch: Any = importlib.import_module("torch")
    diffusers: Any = importlib.import_module("diffusers")
    batch, height, _, channels = shape
    network = diffusers.UNet2DModel(
        sample_size=height // patch,
        in_channels=channels * patch**2,
        out_channels=channels * patch**2,
        block_out_channels=tuple(widths),
        layers_per_block=blocks,
        down_block_types=("DownBlock2D",) * len(widths),
        up_block_types=("UpBlock2D",) * len(widths),
        norm_num_groups=16,
        add_attention=False,
    ).eval()
    scheduler = diffusers.DDIMScheduler(1000, timestep_spacing="trailing")
    pipeline = diffusers.DDIMPipeline(network, scheduler)
    pipeline.set_progress_bar_config(disable=True)

    def run() -> object:
        with torch.inference_mode():
            return pipeline(batch_size=batch, num_inference_steps=steps, output_type="np")

    return run, _multiply_adds_of_torch(torch, network)


def _multiply_adds_of_torch(torch: Any, network: Any) -> int:
    counted = []

    def count(module: Any, _: Any, output: Any) -> None:
        weights = module.weight
        counted.append(output[0].numel() * weights[0].numel())

    hooks = [
        module.register_forward_hook(count)
        for module in network.modules()
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)
    ]
    config = network.config
    with torch.inference_mode():
        size = (1, config.in_channels, config.sample_size, config.sample_size)
        network(torch.zeros(size), 0)
    for hook in hooks:
        hook.remove()
    return sum(counted)
