"""The pictures to learn from and to judge by: what many steps of DPM-Solver++(2M) draw."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ...trainer.maths.diffusion import Denoiser
from ...trainer.maths.plain_tables import least_time
from ...trainer.maths.schedules import DiscreteSchedule
from ...trainer.maths.tables import Tables
from ...trainer.run.atomic import replacing
from ..baking.signatures import Signatures
from ..graphs.assemble import OnnxExporter
from ..graphs.graph import Call, Tensors, runner
from ..proof.reference_noise import reference_noise

TEACHER_STEPS = 80
_TOGETHER = 16

# Called with the number of further evaluations.
Advance = Callable[[int], object]


def no_advance(_: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Subject:
    """The model whose sampler is learned: its functions without tables, and its network's graph."""

    signatures: Signatures
    network: onnx.ModelProto

    @property
    def denoised(self) -> Signatures:
        """The functions of what the network denoises, in float32; latents stay latents.

        A decoder would only follow the last step, where no number of a table reaches.
        """
        return replace(self.signatures, image_dtype="float32", codec=None)

    def sampler(self, tables: Tables | None = None, **settings: Any) -> Call:
        """from_noise.onnx of `denoised`, with tables or other settings of the sampling."""
        sampling = replace(self.signatures.sampling, tables=tables, **settings)
        signatures = replace(self.denoised, sampling=sampling)
        graph = OnnxExporter(signatures, self.network).graph("from_noise")
        return runner(graph.SerializeToString())

    def comparable(self, outputs: Tensors) -> np.ndarray:
        """What a sampler draws as pixels in [0, 1], or arrays and latents in normalised units."""
        samples = outputs[self.denoised.samples]
        if not self.denoiser.arrays:
            return samples
        mean, std = (np.array(x, "f4") for x in (self.denoiser.pixel_mean, self.denoiser.pixel_std))
        return (samples - mean) / std

    @property
    def denoiser(self) -> Denoiser:
        """The network with its schedule."""
        return self.signatures.sampling.denoiser

    @property
    def num_classes(self) -> int | None:
        """The number of classes, None for a model without any."""
        return self.denoiser.num_classes


@dataclass(frozen=True)
class Group:
    """Pictures under one guidance, None without classes, of seeds from `first` on."""

    subject: Subject
    first: int
    count: int
    guidance: float | None

    @property
    def seeds(self) -> np.ndarray:
        """int64 [count]."""
        return self.first + np.arange(self.count, dtype=np.int64)

    @property
    def noise(self) -> np.ndarray:
        """float32 [count, H, W, C]."""
        return reference_noise(self.seeds.tolist(), self.subject.signatures.shape).astype("f4")

    @property
    def labels(self) -> np.ndarray:
        """int64 [count]: the classes in turns."""
        return self.seeds % (self.subject.num_classes or 1)

    def pictures(self, sampler: Call, steps: int, advance: Advance = no_advance) -> np.ndarray:
        """What a sampler draws in this many steps, float32 [count, H, W, C]: see `comparable`."""
        noise, labels, drawn = self.noise, self.labels, []
        for start in range(0, self.count, _TOGETHER):
            rows = slice(start, start + _TOGETHER)
            tensors = {"noise": noise[rows], "steps": np.array(steps)}
            if self.guidance is not None:
                tensors |= {"labels": labels[rows], "guidance": np.array(self.guidance, "f4")}
            drawn.append(self.subject.comparable(sampler(tensors)))
            advance(len(drawn[-1]) * self.evaluations(steps) // self.count)
        return np.concatenate(drawn)

    def part(self, count: int) -> "Group":
        """Its first pictures."""
        return replace(self, count=min(count, self.count))

    def evaluations(self, steps: int) -> int:
        """Network evaluations for all pictures."""
        once = self.guidance in (None, 1) or self.subject.denoiser.guidance_range is not None
        return self.count * steps * (1 if once else 2)


class Teacher:
    """Draws in many steps of DPM-Solver++(2M), and keeps its pictures in a folder.

    `steps` are 80, or half of those of a schedule that has fewer than 160.
    """

    def __init__(self, subject: Subject, folder: Path, advance: Advance) -> None:
        schedule = subject.denoiser.schedule
        self.steps = min(TEACHER_STEPS, schedule.max_steps // 2)
        # A last step to where there is no noise would be infinite.
        noisy = isinstance(schedule, DiscreteSchedule) or least_time(schedule) == 0
        grid = "linspace" if noisy else "linear"
        self._sampler = subject.sampler(solver="dpmpp_2m", time_grid=grid)
        self._folder, self._advance = folder, advance
        self._known: dict[Path, np.ndarray] = {}

    def pictures(self, group: Group) -> np.ndarray:
        """What it draws of a group, float32 [count, H, W, C]."""
        return self._kept(group, self.steps)

    def error(self, group: Group, count: int) -> float:
        """The distance to twice as many steps, of the first `count` pictures."""
        twice = self._kept(group.part(count), 2 * self.steps)
        return distance(self.pictures(group)[:count], twice)

    def _kept(self, group: Group, steps: int) -> np.ndarray:
        """What was drawn, perhaps by a process that was stopped later."""
        file = self._folder / f"{group.first}-{group.count}-{steps}.npy"
        if file in self._known:
            return self._known[file]
        if file.exists():
            self._known[file] = np.load(file)
            self._advance(group.evaluations(steps))
            return self._known[file]
        drawn = self._known[file] = group.pictures(self._sampler, steps, self._advance)
        with replacing(file) as part, part.open("wb") as stream:
            np.save(stream, drawn)
        return drawn


def distance(pictures: np.ndarray, others: np.ndarray) -> float:
    """The root mean square difference of pixels in [0, 1], in levels of 255.

    Of arrays and latents, in parts of 255 of their standard deviation.
    """
    return float(255 * np.sqrt(np.mean(np.square(pictures - others, dtype=np.float64))))
