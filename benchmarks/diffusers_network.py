"""Compares a baked U-Net of diffusers with the library's own schedulers, from the same noise.

    pip install '.[bench,export,cpu]'
    python benchmarks/diffusers_network.py --folder=unet

The network is a small `UNet2DModel` with random weights, exported by torch.onnx. diffusers' spacing
`trailing` is the grid `linear`; no other of its spacings is a grid of ours. Prints how far apart
the pictures are.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers  # pyright: ignore[reportMissingImports]
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from absl import app, flags

from diffkiln.export import export_bundle
from diffkiln.runtime import Sampler

FLAGS = flags.FLAGS
SIZE, STEPS, SEEDS = 16, 20, list(range(8))
# Few pixels are at the ends of their range, where differences would not show.
MEAN, STD = 0.5, 0.125
SCHEDULE: Any = {"beta_schedule": "linear", "timestep_spacing": "trailing"}

flags.DEFINE_string("folder", None, "where to write the network and its bundles", required=True)


class Network(torch.nn.Module):
    """A U-Net whose output is a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.unet: Any = diffusers.UNet2DModel(
            sample_size=SIZE,
            block_out_channels=(16, 32),
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            norm_num_groups=8,
        )

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The prediction [N, C, H, W]."""
        return self.unet(sample, timestep).sample


def exported(network: Network, path: Path) -> Path:
    """The network in an ONNX file."""
    example, free = (torch.zeros(2, 3, SIZE, SIZE), torch.tensor([3, 7])), {0: "batch"}
    names = ["sample", "timestep"]
    axes = dict.fromkeys(names, free)
    settings: Any = {"input_names": names, "dynamic_axes": axes, "opset_version": 18}
    torch.onnx.export(network, example, str(path), dynamo=False, **settings)
    return path


def schedulers() -> Iterator[tuple[str, Any, dict[str, Any], dict[str, Any]]]:
    """The settings of a bundle, a scheduler of diffusers, and what its steps take, by name."""
    for kind, theirs in (("velocity", "v_prediction"), ("noise", "epsilon")):
        own = {**SCHEDULE, "prediction_type": theirs}
        # Noise that random weights predict takes images far away, unless they are clipped.
        clip = kind == "noise"
        limit = {"clip_sample": clip, "clip_sample_range": MEAN / STD}
        ddim = diffusers.DDIMScheduler(**own, **limit)
        baked = {"prediction": kind, "clip": clip}
        yield f"DDIM, {kind}", ddim, baked, {"use_clipped_model_output": True}
    own = {**SCHEDULE, "prediction_type": "v_prediction", "final_sigmas_type": "zero"}
    solver = diffusers.DPMSolverMultistepScheduler(**own)
    baked = {"prediction": "velocity", "clip": False, "solver": "dpmpp_2m"}
    yield "DPM-Solver++(2M), velocity", solver, baked, {}


@torch.inference_mode()
def drawn(network: Network, scheduler: Any, noise: np.ndarray, settings: Any) -> np.ndarray:
    """The pictures of diffusers, float32 [N, H, W, C]."""
    scheduler.set_timesteps(STEPS)
    x = torch.tensor(noise.transpose(0, 3, 1, 2))
    for timestep in scheduler.timesteps:
        prediction = network(x, timestep.expand(len(x)))
        x = scheduler.step(prediction, timestep, x, **settings).prev_sample
    return np.clip(MEAN + STD * x.numpy().transpose(0, 2, 3, 1), 0, 1)


def main(_: list[str]) -> None:
    folder = Path(FLAGS.folder)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    network = Network().eval()
    file = exported(network, folder / "unet.onnx")
    common: Any = {"schedule": "ddpm_linear", "conditioning": "timestep", "first_timestep": 0}
    common |= {"pixel_mean": MEAN, "pixel_std": STD, "image_dtype": "float32", "overwrite": True}
    for name, scheduler, baked, settings in schedulers():
        bundle = folder / f"{type(scheduler).__name__}-{baked['prediction']}.bundle"
        export_bundle(file, bundle, **common, **baked)
        with Sampler(bundle) as sampler:
            (noise,) = sampler.run("noise", {"seeds": np.array(SEEDS)})
            pictures = sampler.sample(SEEDS, steps=STEPS)
            apart = 255 * np.abs(pictures - drawn(network, scheduler, noise, settings))
        print(
            f"{name:28} largest {apart.max():.4f}, mean {apart.mean():.5f} levels of 255; standard "
            f"deviation of the pixels {255 * pictures.std():.0f}"
        )


if __name__ == "__main__":
    app.run(main)
