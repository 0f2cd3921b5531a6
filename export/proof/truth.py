"""What each graph of a sampler should return, by the float64 reference."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np

from ...runtime.limits import MAX_GUIDANCE
from ...trainer.maths import units
from .reference import ReferenceSampler
from .reference_codec import ReferenceCodec, shape_of
from .reference_guidance import ReferenceConditioning
from .reference_noise import reference_noise
from .reference_schedules import unknown

# What a denoiser is told of time 1, if that can be another time.
NETWORK_TIME = np.float32(0.75)
# Which frames of a trajectory are compared.
EVERY = 7
# Without guidance, away from the class, and towards it.
_GUIDANCES = (1.0, 0.0, 2.5)


@dataclass(frozen=True)
class Truth:
    """What the reference makes of seeds int64 [N] in some steps.

    Its photographs are pictures that the model draws. `description` has the essentials of the
    manifest. Labels go round, with −1 among them, and conditions are random, or null for the second
    image; the guidance changes with the seed.
    """

    model: ReferenceSampler
    seeds: np.ndarray
    steps: int
    description: Mapping[str, Any]

    @property
    def dtype(self) -> str:
        """The dtype of samples."""
        return self.description["image"]["dtype"] if "image" in self.description else "float32"

    @cached_property
    def tensors(self) -> dict[str, np.ndarray]:
        """Everything to run a graph on, by the names of the graphs' inputs."""
        pictures = self._drawn[::-1]
        if self.dtype == "uint8":
            pictures = np.round(pictures * 255)
        mask = np.zeros_like(pictures, np.uint8)
        # A half, whose border lies across the last axis that has positions.
        axis = max(pictures.ndim - 2, 1)
        mask[(slice(None),) * axis + (slice(pictures.shape[axis] // 2, None),)] = 255
        mask = mask if pictures.ndim == 2 else mask[..., :1]
        given = pictures.astype(self.dtype)
        return {
            "seeds": self.seeds,
            "steps": np.array(self.steps),
            "every": np.array(EVERY),
            "start": np.array(self._start),
            "images": given,
            "latents": self._latents.astype(np.float32),
            "samples": given,
            "mask": mask,
            "guidance": np.array(self._conditioning.guidance, np.float32),
            **self._conditioning.shown,
            **(
                {}
                if self.model.second is None
                else {"low_resolution": self._small.astype(np.float32)}
            ),
        }

    def result(self, graph: str) -> np.ndarray:
        """What a graph should return, float64: pixels in [0, 1], x̂_0 at t = 1, or noise."""
        if graph in ("sampler", "from_noise", "step", "upscaler"):
            return self._drawn
        if graph in ("decoder", "encoder"):
            return self._around(graph)
        if graph == "denoiser":
            told = float(NETWORK_TIME) if self.model.tables else None
            return self._reference.denoise(self._noise, 1.0, network_time=told)[0]
        if graph == "trajectory":
            return self._frames[(self.steps - 1) % EVERY :: EVERY]
        if graph == "encode":
            return self._reference.encode(self._photographs, self.steps)
        if graph == "inpaint":
            settings = self.tensors["mask"] > 0, self._noise, self.steps, self.seeds.tolist()
            return self._reference.inpaint(self._photographs, *settings)
        if graph == "edit":
            pictures = self._photographs, self._noise, self.steps, self._start
            return self._reference.edit(*pictures, self.seeds.tolist())
        raise unknown("graph", graph)

    @property
    def _start(self) -> int:
        """The step that editing begins with."""
        return self.steps // 3

    @property
    def _units(self) -> np.ndarray:
        """The units in which arrays are compared, one for each entry."""
        return units.comparable(self.model.pixel_mean, self.model.pixel_std)

    def pixels(self, graph: str, values: np.ndarray) -> np.ndarray:
        """What a graph returns as pixels in [0, 1], float64 [n], rounded where its images are.

        The noise of `encode` is in their units. Arrays are in units of their standard deviation, or
        in wider ones where float32 rounds more.
        """
        std = np.asarray(self.model.pixel_std)
        if self.model.codec is not None and graph in ("encode", "encoder"):
            latents = np.asarray(values, np.float64)
            latents = latents if graph == "encode" else (latents - self.model.pixel_mean) / std
            return (latents * np.mean(self.model.codec.std)).ravel()
        if graph == "encode":
            unit = std / self._units if self.model.arrays else std
            return (np.asarray(values, np.float64) * unit).ravel()
        if graph == "denoiser":
            values = self.model.pixels(values)
        if self.model.arrays and self.model.codec is None:
            return ((np.asarray(values, np.float64) - self.model.pixel_mean) / self._units).ravel()
        if values.dtype == np.uint8:
            return values.ravel() / 255
        rounded = self.dtype == "uint8" or graph == "trajectory"
        return (np.round(values * 255.0) / 255 if rounded else values).ravel()

    @cached_property
    def _conditioning(self) -> ReferenceConditioning:
        labels, nulls = {}, {}
        if classes := len(self.description["model"].get("class_names", [])):
            labels = {"labels": (self.seeds + 1) % (classes + 1) - 1}
            nulls = {"labels": np.full_like(self.seeds, -1)}
        conditions = self.description.get("conditions", [])
        given = {each["name"]: example(each, len(self.seeds)) for each in conditions}
        for each in (each for each in conditions if "null" in each):
            name, shown = each["name"], given[each["name"]]
            nulls[name] = np.broadcast_to(np.array(each["null"], each["dtype"]), shown.shape)
            # A null may lie outside the range of what programs give.
            least, most = each.get("minimum", -np.inf), each.get("maximum", np.inf)
            if least <= nulls[name].min() and nulls[name].max() <= most:
                shown[1:2] = nulls[name][:1]
        guidance = self._guidance if nulls else 1.0
        return ReferenceConditioning({**labels, **given}, nulls, guidance)

    @property
    def _guidance(self) -> float:
        guidances = _GUIDANCES
        least, most = self.description["model"].get("guidance_range", (0.0, MAX_GUIDANCE))
        if most < MAX_GUIDANCE:
            guidances = (least + 0.625 * (most - least), least, most)
        if self.model.tables and "guidance" in self.model.tables:
            # The first seed, with which all graphs run, meets what a table is for.
            low, high = self.model.tables["guidance"]
            guidances = (
                low + 0.625 * (high - low),
                low,
                high,
                0.0 if low > 0 else min(high + 1, MAX_GUIDANCE),
            )
        return float(np.clip(guidances[int(self.seeds[0]) % len(guidances)], least, most))

    @cached_property
    def _reference(self) -> ReferenceSampler:
        given = self._conditioning
        return replace(self.model, given=given) if given.shown else self.model

    @cached_property
    def _noise(self) -> np.ndarray:
        """Initial noise float64 [N, H, W, C] of the seeds."""
        return reference_noise(self.seeds.tolist(), shape_of(self.description))

    @cached_property
    def _drawn(self) -> np.ndarray:
        """The pictures as pixels in [0, 1], float64 [N, H, W, C]."""
        if self.model.second is not None:
            return self.model.second.drawn(self._small, self.seeds, self._conditioning)
        if self.model.codec is None:
            return self._frames[-1]
        return self._reference.from_noise(self._noise, self.steps, self.seeds.tolist())

    @property
    def _small(self) -> np.ndarray:
        """The pictures of a cascade's first stage as pixels in [0, 1]."""
        return self._frames[-1]

    @cached_property
    def _latents(self) -> np.ndarray:
        """Some latents in their own units, float64: noise, as spread as they are."""
        return self._noise * np.asarray(self.model.pixel_std) + np.asarray(self.model.pixel_mean)

    def _around(self, graph: str) -> np.ndarray:
        """What the decoder or the encoder of a latent model should return."""
        codec = cast("ReferenceCodec", self.model.codec)
        if graph == "decoder":
            return codec.decoded(self._latents)
        return codec.encoded(self._photographs)

    @cached_property
    def _frames(self) -> np.ndarray:
        """x̂_0 of every step as pixels in [0, 1], float64 [steps, N, H, W, C]."""
        return self._reference.trajectory(self._noise, self.steps, 1, self.seeds.tolist())

    @property
    def _photographs(self) -> np.ndarray:
        return self.tensors["images"] / (255 if self.dtype == "uint8" else 1)


def example(condition: Mapping[str, Any], count: int) -> np.ndarray:
    """Random values of a condition, an entry of the manifest, for `count` images."""
    rng, shape = np.random.default_rng(11), (count, *condition["shape"])
    if condition["dtype"] == "float32":
        return rng.normal(size=shape).astype(np.float32)
    ends = {"uint8": (0, 255)}.get(condition["dtype"], (0, 1))
    low, high = condition.get("minimum", ends[0]), condition.get("maximum", ends[1])
    return rng.integers(low, high, size=shape, dtype=condition["dtype"], endpoint=True)
