"""What each form of a sampler should make, by the float64 reference."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from .forms import EVERY, Case, Form
from .reference import ReferenceConditioning, ReferenceSampler
from .reference_noise import reference_noise

# Without guidance, the other way round, and with it.
_GUIDANCES = (1.0, 0.0, 2.5)


@dataclass(frozen=True)
class Truth:
    """What the reference makes of a case; its photographs are pictures of the model itself.

    `num_classes` is 0 for a model without classes. Labels go round, with −1 among them, and the
    guidance changes with the seed.
    """

    model: ReferenceSampler
    seeds: np.ndarray
    steps: int
    image: Mapping[str, Any]
    num_classes: int

    @cached_property
    def class_conditioning(self) -> ReferenceConditioning:
        """What the pictures are to show, which a model without classes is not told."""
        labels = (self.seeds + 1) % (self.num_classes + 1) - 1
        return ReferenceConditioning(labels, _GUIDANCES[int(self.seeds[0]) % len(_GUIDANCES)])

    @cached_property
    def reference(self) -> ReferenceSampler:
        """The model, told what to show."""
        return (
            replace(self.model, class_conditioning=self.class_conditioning)
            if self.num_classes
            else self.model
        )

    @cached_property
    def noise(self) -> np.ndarray:
        """Initial noise float64 [N, H, W, C] of the seeds."""
        shape = (self.image["height"], self.image["width"], self.image["channels"])
        return reference_noise(self.seeds.tolist(), shape)

    @cached_property
    def all_frames(self) -> np.ndarray:
        """x̂_0 of every step as pixels in [0, 1], float64 [steps, N, H, W, C]."""
        return self.reference.trajectory(self.noise, self.steps, 1, self.seeds.tolist())

    @cached_property
    def case(self) -> Case:
        """What the forms are run on."""
        pictures = self.all_frames[-1][::-1]
        if self.image["dtype"] == "uint8":
            pictures = np.round(pictures * 255)
        mask = np.zeros((len(pictures), self.image["height"], self.image["width"], 1), np.uint8)
        mask[:, :, self.image["width"] // 2 :] = 255
        pictures = pictures.astype(self.image["dtype"])
        shown = self.class_conditioning
        return Case(self.seeds, self.steps, pictures, mask, shown.labels, shown.guidance)

    def result(self, form: Form) -> np.ndarray:
        """What a form should have made."""
        if form.kind == "images":
            return self.all_frames[-1]
        if form.kind == "denoised":
            return self.reference.denoise(self.noise, 1.0)[0]
        if form.kind == "frames":
            return self.all_frames[(self.steps - 1) % EVERY :: EVERY]
        photographs = self.case.photographs / (255 if self.image["dtype"] == "uint8" else 1)
        if form.kind == "encoded":
            return self.reference.encode(photographs, self.steps)
        given = (self.noise, self.steps, self.seeds.tolist())
        return self.reference.inpaint(photographs, self.case.mask > 0, *given)
