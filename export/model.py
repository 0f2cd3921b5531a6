"""What the network of an export was trained as."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..runtime.limits import MAX_GUIDANCE
from ..trainer.config import (
    ALL_PREDICTIONS,
    ALL_SCHEDULES,
    CONDITIONINGS,
    FITS,
    MAX_SIDE,
    MOST_CLASSES,
    MOST_NAME_CHARACTERS,
    check_levels,
    is_class_name,
)
from ..trainer.errors import InputError, check_choice
from .checks import check_list, is_whole
from .conditions import Condition, checked_conditions

if TYPE_CHECKING:
    from ..trainer.maths.schedules import Schedule

# What a network takes, in the order in which diffkiln speaks of it.
ROLES = ("noisy", "condition", "labels", "guidance")
STATISTICS = ("pixel_mean", "pixel_std", "mean", "std")


@dataclass(frozen=True)
class Model:
    """What a network was trained as.

    `pixel_mean` and `pixel_std` (one number, or one per channel, in units where pixels lie in [0,
    1]) are what its images were normalised with. A network of arrays that are no pictures, [N, D],
    [N, T, C] or [N, H, W, C], has `mean` and `std` in their place, in units of the data, one number
    or one for each entry of the last axis. A network of latents has both pairs: `mean` and `std` of
    the latents, which are their shift and 1/scale, and `pixel_mean` and `pixel_std` with which its
    decoder's images are normalised, such as 0.5 for images in [-1, 1]. `schedule` is a schedule or
    the name of one, and a `CosineSchedule()` if None. The network puts out the noise, velocity or
    image, or F of EDM's preconditioning, by `prediction`. Its condition is, by `conditioning`, the
    `time` in [0, 1], the `timestep` of a discrete schedule (1000·t of a flow), the `noise_variance`
    noise², the `noise_rate`, `log_snr` = ln(signal²/noise²), `sigma` = noise/signal, or `c_noise` =
    ln(sigma)/4. Timesteps count from `first_timestep`, which is 1, or 0 for a network that was
    trained with 0 … T − 1. With `class_names`, of classes 0, 1, …, it takes labels too. Where names
    and shapes do not say which input is which, `inputs` does: `noisy`, `condition`, `labels` and
    `guidance` in the order of the network's, with the names of further `conditions` among them.
    These are by name what else the network takes (see `Condition`; a description alone will do).
    With a `guidance_range`, the least and the greatest guidance that it was trained for, the
    network takes the guidance itself, as one number for each image (arXiv 2210.03142). A network
    for images of any size needs the `image_size` to bake, (height, width) or one number. `levels`
    are the grey levels of black and white in files of more than 8 bits, if they were not 0 and
    65535. `fit` says how pictures of another shape became images: by their middle (`crop`), with
    white bars (`pad`), or squeezed (`stretch`).

    Raises InputError for an unknown choice, for neither pair of statistics or both, for names that
    are not distinct lines of text, for levels that are not two numbers in rising order, and for a
    range of guidance without 1.
    """

    pixel_mean: float | Sequence[float] | None = None
    pixel_std: float | Sequence[float] | None = None
    schedule: "Schedule | str | None" = None
    prediction: str = "noise"
    conditioning: str = "time"
    class_names: Sequence[str] = ()
    first_timestep: int = 1
    inputs: Sequence[str] = ()
    image_size: int | Sequence[int] | None = None
    levels: Sequence[float] | None = None
    conditions: Mapping[str, Condition | str | Mapping[str, Any]] = field(default_factory=dict)
    fit: str = "crop"
    guidance_range: Sequence[float] | None = None
    mean: float | Sequence[float] | None = None
    std: float | Sequence[float] | None = None

    def __post_init__(self) -> None:
        self._check_statistics()
        if isinstance(self.schedule, str):
            check_choice("schedule", self.schedule, ALL_SCHEDULES)
        check_choice("prediction", self.prediction, ALL_PREDICTIONS)
        check_choice("conditioning", self.conditioning, CONDITIONINGS)
        object.__setattr__(self, "conditions", checked_conditions(self.conditions))
        check_choice("fit", self.fit, FITS)
        for name, of_what in (("class_names", "names"), ("inputs", ", ".join(ROLES))):
            check_list(name, getattr(self, name), of_what)
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check_timestep()
        self._check_names()
        self._check_size()
        check_levels(self.levels)
        if self.guidance_range is not None:
            object.__setattr__(self, "guidance_range", self._checked_range(self.guidance_range))

    def _check_statistics(self) -> None:
        given = {name for name in STATISTICS if getattr(self, name) is not None}
        if given not in ({"pixel_mean", "pixel_std"}, {"mean", "std"}, {*STATISTICS}):
            received = ", ".join(sorted(given)) or "none"
            raise InputError(
                f"pixel_mean, pixel_std, mean, std: got {received}; expected pixel_mean and "
                "pixel_std of a network of images, mean and std of one of other arrays, or all of "
                "a network of latents with a decoder"
            )
        of_pictures = ("image_size", *(() if self.is_of_latents else ("levels", "fit")))
        for name in (name for name in of_pictures if self.is_of_arrays):
            if getattr(self, name) != getattr(type(self), name):
                raise InputError(
                    f"{name}={getattr(self, name)}: is for images, but mean and std are those of "
                    "arrays; leave it out"
                )

    @property
    def is_of_latents(self) -> bool:
        """Whether samples are latents, of which a decoder makes images."""
        return self.is_of_arrays and self.pixel_mean is not None

    @property
    def is_of_arrays(self) -> bool:
        """Whether samples are arrays that are no pictures."""
        return self.mean is not None

    @property
    def pixel_statistics(self) -> tuple[Any, Any]:
        """Mean and standard deviation of pixels; 0 and 1 if there are no images."""
        given = self.pixel_mean is not None
        return (self.pixel_mean, self.pixel_std) if given else (0.0, 1.0)

    @property
    def statistics(self) -> tuple[Any, Any]:
        """Mean and standard deviation, of pixels or of the data."""
        return (self.mean, self.std) if self.is_of_arrays else (self.pixel_mean, self.pixel_std)

    def _check_timestep(self) -> None:
        if not is_whole(self.first_timestep, 0, 1):
            raise InputError(f"first_timestep={self.first_timestep}: expected 0 or 1")
        if self.first_timestep == 0 and self.conditioning != "timestep":
            raise InputError(
                f"first_timestep=0: the network takes no timestep, but conditioning="
                f"{self.conditioning}; leave it out, or choose conditioning=timestep"
            )

    def _check_names(self) -> None:
        names, most = self.class_names, MOST_NAME_CHARACTERS
        fits = all(isinstance(name, str) and is_class_name(name) for name in names)
        if not fits or len(set(names)) != len(names) or len(names) > MOST_CLASSES:
            raise InputError(
                f"class_names: got {len(names)} names, expected at most {MOST_CLASSES} different "
                f"ones, each of 1 to {most} characters on one line"
            )

    def _checked_range(self, received: Any) -> tuple[float, float]:
        """Least and greatest guidance; a host draws pictures of no class with a guidance of 1."""
        ends = tuple(received) if isinstance(received, Sequence) else (received,)
        numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
        if len(ends) != 2 or not numbers or not 0 <= ends[0] <= 1 <= ends[1] <= MAX_GUIDANCE:
            raise InputError(
                f"guidance_range={','.join(map(str, ends))}: expected the least guidance, from 0 "
                f"to 1, and the greatest, from 1 to {MAX_GUIDANCE:g}"
            )
        if not self.is_guided:
            raise InputError(
                f"guidance_range={ends[0]:g},{ends[1]:g}: the model knows no classes, and no "
                "conditions that can be left out; give class_names, or leave it out"
            )
        return float(ends[0]), float(ends[1])

    @property
    def is_guided(self) -> bool:
        """Whether there are classes, or conditions, for guidance to leave out."""
        given: Any = self.conditions  # checked, so each is a Condition
        return bool(self.class_names) or any(each.null is not None for each in given.values())

    @property
    def size(self) -> Sequence[int] | None:
        """Height and width of `image_size`."""
        size = self.image_size
        return size if isinstance(size, Sequence) or size is None else (size, size)

    def _check_size(self) -> None:
        sizes = self.size
        if sizes is None:
            return
        if len(sizes) != 2 or not all(is_whole(size, 1, MAX_SIDE) for size in sizes):
            raise InputError(
                f"image_size={self.image_size!r}: expected the height and the width to bake, or "
                f"one number for both, from 1 to {MAX_SIDE}"
            )
