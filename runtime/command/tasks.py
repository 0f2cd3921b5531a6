"""What can be asked of a bundle, and how its images come about, whatever file they go to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..output.images import masked, to_uint8

if TYPE_CHECKING:
    from ..sampler import Sampler

# More of them only make a file larger.
MAX_DENOISING_FRAMES = 60

# Results of one photograph stand in one row with it while they are so few.
_ONE_ROW = 6
# So many are painted at a time, for the progress bar and for memory.
_TOGETHER = 16


@dataclass(frozen=True, eq=False)
class Task:
    """One kind of work; `seeds` are int64 [S], and all has been checked.

    `choices` are the classes to show, of which an image of seed s shows number s mod their count;
    None, as `guidance`, leaves them to the sampler. `graphs` are what it needs of the bundle, and
    `moving_graphs` what an animation needs; none where there is nothing that moves.
    """

    seeds: np.ndarray
    steps: int
    choices: tuple[int, ...] | None = field(default=None, kw_only=True)
    guidance: float | None = field(default=None, kw_only=True)

    graphs: ClassVar[tuple[str, ...]] = ("sampler",)
    moving_graphs: ClassVar[tuple[str, ...]] = ()
    # Whether an animation comes back to its first frame.
    there_and_back: ClassVar[bool] = False

    @property
    def numbers(self) -> Sequence[int]:
        """One number for each image, which names its file in a folder."""
        return self.seeds.tolist()

    @property
    def origin(self) -> str:
        """Where the images come from, in words: "seeds 5 to 7"."""
        if len(self.seeds) < 2:
            return f"seed {self.seeds[0]}" if len(self.seeds) else "no seeds"
        first, last = int(self.seeds[0]), int(self.seeds[-1])
        return f"seeds {first} {'to' if last - first + 1 == len(self.seeds) else '…'} {last}"

    @property
    def one_row(self) -> bool:
        """Whether a picture of all images is a strip."""
        return False

    @property
    def before(self) -> Sequence[np.ndarray]:
        """Images uint8 [height, width, channels] that a picture shows before those made."""
        return ()

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """Arrays for a .npz beside the images."""
        return {"seeds": self.seeds}

    def batches(self, sampler: "Sampler") -> Iterator[np.ndarray]:
        """Yield all images in order, some at a time, of the bundle's dtype."""
        return sampler.batches(seeds=self.seeds, steps=self.steps, **self.conditioning(self.seeds))

    def conditioning(self, seeds: np.ndarray) -> dict[str, Any]:
        """Return the arguments of a Sampler that say what images of these seeds show."""
        if self.choices is None:
            return {"labels": None, "guidance": self.guidance}
        labels = np.array(self.choices)[seeds % len(self.choices)]
        return {"labels": labels, "guidance": self.guidance}

    def frames(self, sampler: "Sampler") -> Iterator[np.ndarray]:
        """Yield the images [N, …] of each frame of an animation."""
        raise NotImplementedError

    @property
    def frame_count(self) -> int:
        """How many `frames` there are."""
        return 0

    @property
    def images_per_frame(self) -> int:
        """How many images each of them shows."""
        return 1


@dataclass(frozen=True, eq=False)
class Samples(Task):
    """The images of the seeds; moving, their denoising."""

    moving_graphs: ClassVar = ("noise", "step")

    @property
    def frame_count(self) -> int:
        """How many `frames` there are: one for each step, or for every second, and so on."""
        return -(-self.steps // self._every)

    def frames(self, sampler: "Sampler") -> Iterator[np.ndarray]:
        """Yield the images after every so many steps, counted back from the last."""
        conditioning = self.conditioning(self.seeds)
        for step, images in sampler.stepwise(seeds=self.seeds, steps=self.steps, **conditioning):
            if (self.steps - 1 - step) % self._every == 0:
                yield images

    @property
    def images_per_frame(self) -> int:
        """All of them move together."""
        return len(self.seeds)

    @property
    def _every(self) -> int:
        return -(-self.steps // MAX_DENOISING_FRAMES)


@dataclass(frozen=True, eq=False)
class Interpolation(Task):
    """`count` images from the first of two seeds to the second; moving, there and back."""

    count: int

    graphs: ClassVar = ("noise", "from_noise")
    moving_graphs: ClassVar = graphs
    there_and_back: ClassVar = True

    @property
    def numbers(self) -> Sequence[int]:
        """The frames from 0."""
        return range(self.count)

    @property
    def origin(self) -> str:
        """The two ends."""
        return "from seed {} to seed {}".format(*self.seeds)

    @property
    def one_row(self) -> bool:
        """A way is seen from left to right."""
        return True

    @property
    def frame_count(self) -> int:
        """As many frames as images."""
        return self.count

    def batches(self, sampler: "Sampler") -> Iterator[np.ndarray]:
        """Yield all images at once."""
        (start, end), conditioning = (
            self.seeds.tolist(),
            self.conditioning(self.seeds[[0] * self.count]),
        )
        yield sampler.interpolate(start, end, self.count, steps=self.steps, **conditioning)

    def frames(self, sampler: "Sampler") -> Iterator[np.ndarray]:
        """Yield each image as a frame."""
        return (image[np.newaxis] for images in self.batches(sampler) for image in images)


@dataclass(frozen=True, eq=False)
class Inpainting(Task):
    """One photograph [height, width, channels], painted anew by each seed where the mask is 1.

    The photograph is of the bundle's dtype, the mask uint8 [height, width, 1].
    """

    photo: np.ndarray
    mask: np.ndarray

    graphs: ClassVar = ("inpaint",)

    @property
    def one_row(self) -> bool:
        """Few variants stand beside the photograph."""
        return len(self.seeds) <= _ONE_ROW

    @property
    def before(self) -> Sequence[np.ndarray]:
        """The photograph, whole and masked."""
        photo = to_uint8(self.photo[np.newaxis])[0]
        return (photo, masked(photo, self.mask))

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The seeds, the photograph and the mask."""
        return {"seeds": self.seeds, "photo": self.photo, "mask": self.mask}

    def batches(self, sampler: "Sampler") -> Iterator[np.ndarray]:
        """Yield the variants, some at a time."""
        for start in range(0, len(self.seeds), _TOGETHER):
            seeds = self.seeds[start : start + _TOGETHER]
            photos = self.photo[np.newaxis].repeat(len(seeds), axis=0)
            conditioning = self.conditioning(seeds)
            yield sampler.inpaint(photos, self.mask, seeds=seeds, steps=self.steps, **conditioning)


@dataclass(frozen=True, eq=False)
class Reconstruction(Task):
    """One photograph [height, width, channels] of the bundle's dtype, as the model draws it.

    There are no seeds.
    """

    photo: np.ndarray

    graphs: ClassVar = ("encode", "from_noise")

    @property
    def numbers(self) -> Sequence[int]:
        """The one image."""
        return range(1)

    @property
    def origin(self) -> str:
        """No seeds."""
        return "from a photograph"

    @property
    def before(self) -> Sequence[np.ndarray]:
        """The photograph."""
        return (to_uint8(self.photo[np.newaxis])[0],)

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The photograph."""
        return {"photo": self.photo}

    def batches(self, sampler: "Sampler") -> Iterator[np.ndarray]:
        """Yield the one image."""
        conditioning = self.conditioning(np.zeros(1, np.int64))
        yield sampler.reconstruct(self.photo[np.newaxis], steps=self.steps, **conditioning)
