"""The Python interface of a bundle: images from seeds, from noise or from other images."""

import os

from .bundle.bundle import Bundle, open_bundle, shipped_bundle
from .engine.engine import Engine
from .engine.session import SessionSettings
from .methods.photographs import FromPhotographs


class Sampler(FromPhotographs):
    """Samples images from a bundle on the CPU, with OpenVINO or on a CUDA GPU.

    An image depends only on its own seed: not on the batch, the device or the other images.

        with Sampler("flowers.bundle") as sampler:
            images = sampler.sample(16, steps=20, seed=0)  # uint8 [16, 64, 64, 3], seeds 0 … 15

    Images are [N, height, width, channels] of the bundle's dtype: uint8, or float32 in [0, 1].
    `count` (1 to 1,000,000) draws the seeds from `seed` to `seed + count - 1`, at most 2**63 - 1;
    a list of seeds may take its place, or be passed as `seeds=` instead. `steps` is 1 … the
    bundle's max_steps, by default the bundle's own.

    A model with classes shows `labels`: a class by name or number, or -1 for none; one for all
    images or a list with one for each. By default the image of a seed shows class seed mod the
    number of classes, and an image that does not start from a seed shows none. `guidance` is how
    strongly it shows the class: 0 … 100, or in the bundle's `guidance_range`, by default what the
    bundle says, and 1 where no class is shown. Any guidance but 1 costs a second evaluation of the
    network in each step, unless the network takes the guidance itself.

    A network may need `conditions`, such as `{"text": embedding}`: an array for each name in
    `bundle.conditions` that has no default, [*shape] for all images or [N, *shape] with one for
    each. Whole numbers and floats are converted to its dtype; pixels must be uint8. Where guidance
    leaves conditions out, it is how strongly images follow them, by default what the bundle says.

    A cascade draws a small picture, which a second stage enlarges by `bundle.factor`. A seed is one
    picture here too: its noise is that of both stages. `steps`, labels, guidance and conditions are
    the first stage's; the second has steps and a guidance of its own, and takes of labels and
    conditions what it knows.

    Arguments: `bundle`, a folder or the result of open_bundle, by default the flowers bundled with
    diffkiln, which have the graph "sampler" only; `device`, "auto" (CUDA where it works, otherwise
    the CPU, with the reason in the log "diffkiln.runtime"), "cpu", "cuda" or "openvino", which
    samples step by step; `threads`, 1 … 1024, by default the number of physical cores; `max_batch`,
    1 … 4096, the most images computed at once, by default chosen by measuring; `low_power` and
    `tf32` as in SessionSettings. The opened bundle is the attribute `bundle`.

    Methods with `cancel` stop with a CancelledError soon after another thread has set that event:
    within a twentieth of a second and one operator of the graph, or one step of the stepwise mode.

    A graph is loaded at its first use. Several threads may share one sampler. A fork loads graphs
    of its own, and so does a sampler that was pickled or deep-copied, which keeps the bundle's path
    and the settings. Every method raises
    ValueError for an argument out of range, before it computes anything, BundleError if the bundle
    lacks the graph or the graph is damaged, DeviceError if the device cannot run it, and RunError
    if a GPU fails or memory is short.
    """

    def __init__(
        self,
        bundle: Bundle | str | os.PathLike[str] | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        max_batch: int | None = None,
        low_power: bool = False,
        tf32: bool = False,
    ) -> None:
        settings = SessionSettings(device, threads, max_batch, low_power, tf32)
        source = shipped_bundle() if bundle is None else bundle
        self.bundle = source if isinstance(source, Bundle) else open_bundle(source)
        self._engine = Engine(self.bundle, settings)
