"""Images from other images."""

import threading
from typing import Any

import numpy as np

from ..engine.arguments import (
    Seeds,
    checked_images,
    checked_mask,
    checked_seeds,
    checked_steps,
    start_of,
)
from ..engine.conditioning import Labels, checked_conditioning
from ..engine.conditions import Conditions, with_made
from ..engine.inpainting import inpainting_conditions, inpainting_graph
from ..engine.stepwise import Progress
from ..engine.upscaling import checked_small, upscaled, upscaling_conditions
from .seeds import FromSeeds


class FromPhotographs(FromSeeds):
    """The methods of a Sampler that begin with images."""

    def encode(
        self,
        images: np.ndarray,
        *,
        steps: int | None = None,
        labels: Labels | None = None,
        guidance: float | None = None,
        conditions: Conditions | None = None,
        cancel: threading.Event | None = None,
    ) -> np.ndarray:
        """Return the noise float32 [N, …] from which `from_noise` draws these images again.

        This is DDIM inversion, for bundles with solver ddim and eta 0 that hold "encode". `steps`,
        labels and guidance must be the same both ways. It evaluates the network 7 times as often as
        sampling does.
        """
        self.bundle.require_graphs("encode")
        images, steps = (
            checked_images(self.bundle, images),
            checked_steps(self.bundle, steps, guidance),
        )
        conditioning = checked_conditioning(
            self.bundle, labels, guidance, conditions, count=len(images)
        )
        feeds = {self.bundle.samples: images, **conditioning.feeds(steps=steps)}
        return np.concatenate([*self._engine.run_all("encode", feeds, cancel)])

    def reconstruct(
        self,
        images: np.ndarray,
        *,
        steps: int | None = None,
        labels: Labels | None = None,
        guidance: float | None = None,
        conditions: Conditions | None = None,
        cancel: threading.Event | None = None,
    ) -> np.ndarray:
        """Return the images as the model draws them: `encode`, then `from_noise`."""
        self.bundle.require_graphs("encode", "from_noise")
        same: dict[str, Any] = {"labels": labels, "guidance": guidance, "conditions": conditions}
        noise = self.encode(images, steps=steps, cancel=cancel, **same)
        return self.from_noise(noise, steps=steps, cancel=cancel, **same)

    def inpaint(
        self,
        images: np.ndarray,
        mask: np.ndarray,
        *,
        seeds: Seeds | None = None,
        steps: int | None = None,
        seed: int = 0,
        labels: Labels | None = None,
        guidance: float | None = None,
        conditions: Conditions | None = None,
        cancel: threading.Event | None = None,
    ) -> np.ndarray:
        """Return the images with their masked parts repainted; image i uses seed + i or seeds[i].

        `mask` is uint8 or bool [N, height, width, 1], or [height, width] for all images: where it
        is 0 an image stays as it is. The bundle must hold "inpaint", or its network must have been
        trained to inpaint: then it gets its conditions `masked_image` and `paint_mask` from here.
        """
        graph = inpainting_graph(self.bundle)
        self.bundle.require_graphs(graph)
        images = checked_images(self.bundle, images)
        steps = checked_steps(self.bundle, steps, guidance, baked=graph == "sampler")
        mask, count = checked_mask(self.bundle, mask, len(images)), len(images)
        seeds = checked_seeds(count if seeds is None else None, seeds, seed, expected=count)
        made = inpainting_conditions(self.bundle, images, mask)
        given = with_made(conditions, made, "images and mask")
        conditioning = checked_conditioning(self.bundle, labels, guidance, given, count=count)
        feeds = {"seeds": seeds, **conditioning.feeds(steps=steps)}
        if graph == "inpaint":
            feeds = {self.bundle.samples: images, "mask": mask, **feeds}
            return np.concatenate([*self._engine.run_all("inpaint", feeds, cancel)])
        return np.where(mask, np.concatenate([*self._drawn(graph, feeds, cancel=cancel)]), images)

    def edit(
        self,
        images: np.ndarray,
        strength: float,
        *,
        seeds: Seeds | None = None,
        steps: int | None = None,
        seed: int = 0,
        labels: Labels | None = None,
        guidance: float | None = None,
        conditions: Conditions | None = None,
        cancel: threading.Event | None = None,
    ) -> np.ndarray:
        """Return the images redrawn from a noised form of them; image i uses seed + i or seeds[i].

        `strength`, above 0 and at most 1, is the part of the steps that are taken: a small one
        changes details, 1 leaves nearly nothing (SDEdit, arXiv 2108.01073). The bundle must hold
        "edit".
        """
        self.bundle.require_graphs("edit")
        images, steps = (
            checked_images(self.bundle, images),
            checked_steps(self.bundle, steps, guidance),
        )
        numbers, count = {"steps": steps, "start": start_of(strength, steps)}, len(images)
        seeds = checked_seeds(count if seeds is None else None, seeds, seed, expected=count)
        conditioning = checked_conditioning(self.bundle, labels, guidance, conditions, count=count)
        feeds = {self.bundle.samples: images, "seeds": seeds, **conditioning.feeds(**numbers)}
        return np.concatenate([*self._engine.run_all("edit", feeds, cancel)])

    def upscale(
        self,
        images: np.ndarray,
        *,
        seeds: Seeds | None = None,
        steps: int | None = None,
        seed: int = 0,
        labels: Labels | None = None,
        guidance: float | None = None,
        conditions: Conditions | None = None,
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> np.ndarray:
        """Return pictures uint8 [N, a, b, channels] enlarged to [N, a·f, b·f, channels].

        The network must have the condition `low_resolution`, uint8 [height/f, width/f, channels],
        and the bundle "noise" and "step" without fresh noise (eta 0). Pictures larger than that are
        drawn as tiles, which overlap and leave no seams; a smaller one is continued by mirroring it
        and cut afterwards. Picture i uses seed + i or seeds[i]. progress(done, total) is called
        after each step of a batch of tiles. A result has at most 2**26 pixels.
        """
        images, steps = (
            checked_small(self.bundle, images),
            checked_steps(self.bundle, steps, guidance),
        )
        count, made = len(images), upscaling_conditions(self.bundle)
        seeds = checked_seeds(count if seeds is None else None, seeds, seed, expected=count)
        given = with_made(conditions, made, "images")
        conditioning = checked_conditioning(self.bundle, labels, guidance, given, count=count)
        feeds = {"seeds": seeds, **conditioning.feeds(steps=steps)}
        return upscaled(self._engine, images, feeds, progress, cancel)
