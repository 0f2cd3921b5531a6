"""A bundle's network under any solver: the float64 reference drives denoiser.onnx."""

import json
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffkiln.export.proof.reference import ReferenceSampler, reference_of
from diffkiln.export.proof.reference_guidance import ReferenceConditioning
from diffkiln.export.proof.reference_noise import reference_noise
from diffkiln.runtime import Sampler

Pictures = NDArray[np.uint8]
TOGETHER = 32


@dataclass(frozen=True)
class Way:
    """One way to draw: `steps` of a solver on a grid, with η and guidance, or `learned` ones."""

    steps: int = 20
    solver: str = "ddim"
    eta: float = 0.0
    guidance: float = 1.0
    time_grid: str = "linear"
    classes: bool = True
    learned: bool = False

    @property
    def evaluations(self) -> int:
        """The number of network evaluations for a picture."""
        return self.steps * (1 if self.guidance == 1 else 2)

    def __str__(self) -> str:
        name = "DPM-Solver++(2M)" if self.solver == "dpmpp_2m" else f"DDIM, η = {self.eta:g}"
        on_grid = "" if self.time_grid == "linear" else f" on {self.time_grid}"
        asked = f"guidance {self.guidance:g}" if self.classes else "no class asked for"
        return f"{name}, {self.steps} steps{on_grid}, {asked}"


@dataclass(frozen=True)
class Drawn:
    """Pictures uint8 [N, H, W, C], and the shortest time for one of them in seconds."""

    pictures: Pictures
    seconds: float


class Model:
    """The network of a bundle that has the graph "denoiser"; its name is the bundle's."""

    def __init__(self, bundle: Path) -> None:
        self.manifest: dict[str, Any] = json.loads((bundle / "bundle.json").read_text())
        self.name = bundle.stem
        self.class_names: list[str] = self.manifest["model"].get("class_names", [])
        image = self.manifest["image"]
        self.shape: tuple[int, int, int] = (image["height"], image["width"], image["channels"])
        self._sampler = Sampler(bundle, device="cpu")

    @cached_property
    def reference(self) -> ReferenceSampler:
        """The sampler in float64, with the bundle's denoiser as its network."""
        return reference_of(self.manifest, self._image, denoises=True)

    def noise(self, seeds: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the noise float64 [N, H, W, C] of the seeds."""
        return reference_noise(seeds.tolist(), self.shape)

    def sampler(self, way: Way, labels: NDArray[np.int64]) -> ReferenceSampler:
        """Return the reference sampler for pictures of these classes int64 [N]."""
        none = np.full_like(labels, -1)
        shown = {"labels": labels if way.classes else none}
        given = ReferenceConditioning(shown, {"labels": none}, way.guidance)
        return replace(
            self.reference,
            tables=self.reference.tables if way.learned else None,
            solver=way.solver,
            eta=way.eta,
            time_grid=way.time_grid,
            given=given if self.class_names else None,
        )

    def draw(self, way: Way, seeds: NDArray[np.int64], labels: NDArray[np.int64]) -> Drawn:
        """Draw the pictures of seeds int64 [N] and classes int64 [N]."""
        pixels, seconds = [], []
        for first in range(0, len(seeds), TOGETHER):
            rows = slice(first, first + TOGETHER)
            sampler, chosen = self.sampler(way, labels[rows]), seeds[rows]
            started = time.perf_counter()
            pixels.append(sampler.from_noise(self.noise(chosen), way.steps, chosen.tolist()))
            seconds.append((time.perf_counter() - started) / len(chosen))
        return Drawn(levels(np.concatenate(pixels)), min(seconds))

    def _image(
        self, x: NDArray, time: NDArray, told: NDArray, *given: ReferenceConditioning
    ) -> NDArray:
        feeds = {"noisy": x, "time": time, "network_time": told}
        for conditioning in given:
            feeds |= {"guidance": np.array(conditioning.guidance, np.float32), **conditioning.shown}
        taken = self._sampler.bundle.graph("denoiser").signature.inputs
        return self._sampler.run("denoiser", {port.name: feeds[port.name] for port in taken})[0]


def levels(pixels: NDArray[np.float64]) -> Pictures:
    """Return pixels in [0, 1] as uint8."""
    return np.round(pixels * 255).astype(np.uint8)
