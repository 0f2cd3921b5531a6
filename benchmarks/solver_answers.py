"""Known answers for the solvers, from the schedulers of the real diffusers library.

    pip install diffusers torch
    python benchmarks/solver_answers.py > tests/solver_answers.json

The network is a formula that anybody can evaluate: ε̂ = tanh(0.7·x + 0.2·roll(x) +
0.1·cos(n/150)), x rolled by one along its first axis, n = 1 … 1000 the timestep (diffusers counts
from 0). The noise is diffkiln's own, of seeds 0 and 1.
"""

import json
import sys
from pathlib import Path
from typing import Any

import diffusers  # pyright: ignore[reportMissingImports]
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from diffusers.schedulers import scheduling_ddpm  # pyright: ignore[reportMissingImports]

sys.path.insert(0, str(Path(__file__).parents[1]))
from export.proof.reference_noise import reference_noise

SEEDS, SHAPE = [0, 1], (2, 3, 1)
LINEAR: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "timestep_spacing": "trailing",
}


def network(x: torch.Tensor, timestep: int) -> torch.Tensor:
    """ε̂ of images [N, H, W, C]."""
    return torch.tanh(0.7 * x + 0.2 * torch.roll(x, 1, 1) + 0.1 * np.cos((timestep + 1) / 150))


def noise(stream: int) -> torch.Tensor:
    """Noise of both seeds."""
    return torch.tensor(reference_noise(SEEDS, SHAPE, stream=stream))


def answer(scheduler: Any, steps: int, about: dict, **settings: Any) -> dict:
    """Sample with a scheduler; return x after its last step."""
    scheduler.set_timesteps(steps)
    x = noise(0)
    for k, timestep in enumerate(scheduler.timesteps):
        fresh = noise(k + 1)
        scheduling_ddpm.randn_tensor = lambda *_, fresh=fresh, **__: fresh
        if "eta" in settings:
            settings["variance_noise"] = fresh if settings["eta"] else None
        x = scheduler.step(network(x, int(timestep)), timestep, x, **settings).prev_sample
    rounded = [float(f"{value:.9g}") for value in x.flatten().tolist()]
    return {"scheduler": type(scheduler).__name__, **about, "steps": steps, "x": rounded}


def answers() -> list[dict]:
    """All cases."""
    cases = []
    for steps in (1, 5, 20, 50):
        for eta, clip in ((0.0, False), (0.0, True), (0.5, True), (1.0, False)):
            scheduler = diffusers.DDIMScheduler(**LINEAR, clip_sample=clip)
            about = {"solver": "ddim", "eta": eta, "clip": clip}
            settings = {"eta": eta, "use_clipped_model_output": True}
            cases.append(answer(scheduler, steps, about, **settings))
        scheduler = diffusers.DPMSolverMultistepScheduler(
            **LINEAR, algorithm_type="dpmsolver++", solver_order=2, final_sigmas_type="zero"
        )
        cases.append(answer(scheduler, steps, {"solver": "dpmpp_2m", "eta": 0.0, "clip": False}))
    scheduler = diffusers.DDPMScheduler(**LINEAR, variance_type="fixed_small", clip_sample=False)
    cases.append(answer(scheduler, 1000, {"solver": "ddim", "eta": 1.0, "clip": False}))
    return cases


if __name__ == "__main__":
    versions = {"diffusers": diffusers.__version__, "torch": torch.__version__}
    lines = ",\n    ".join(json.dumps(case) for case in answers())
    print(f'{{\n  "versions": {json.dumps(versions)},\n  "answers": [\n    {lines}\n  ]\n}}')
