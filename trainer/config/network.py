"""The shape of the network of a run."""

from dataclasses import dataclass

from . import choices
from .choices import check_array_shape, check_integer, check_settings, require, setting
from .conditions import FEWEST_TIMES, MOST_TIMES, ConditionSpec, check_task, conditions_of
from .latents import FACTORS, check_autoencoder


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of a U-Net: `widths` are channels per level, each half the size of the last.

    With `attention_heads` the lowest level has self-attention. With `num_classes` the network takes
    labels too, and for a `task` other than generation its `conditions`. One that is `residual`
    learns what the enlarged picture lacks. With a `guidance_range` the network takes the guidance
    itself, from the least to the greatest. With an `array_shape` it is for arrays of this shape
    instead of images of `image_size` and `channels`. An autoencoder has `latent_channels`, and a
    `factor` by which latents are smaller than images. Raises InputError, which names the setting,
    its value and what was expected.
    """

    image_size: int = setting(bounds=(1, 4096))
    widths: tuple[int, ...] = setting()
    blocks: int = setting(bounds=(1, 4096))
    patch_size: int = setting(bounds=(1, 4096))
    embedding_size: int = setting(32, bounds=(1, 4096))
    channels: int = setting(3, bounds=(1, 4096))
    attention_heads: int = setting(0, bounds=(0, 4096))
    num_classes: int | None = setting(None, bounds=(1, choices.MOST_CLASSES))
    task: str = setting("generation", choices=choices.TASKS)
    factor: int | None = setting(None, bounds=(FEWEST_TIMES, MOST_TIMES))
    residual: bool = False
    guidance_range: tuple[float, float] | None = None
    array_shape: tuple[int, ...] | None = None
    latent_channels: int | None = setting(None, bounds=(1, 4096))

    def __post_init__(self) -> None:
        check_settings(self)
        check_task(self.task, self.factor, self.image_size)
        check_autoencoder(self.task, self.factor, self.latent_channels, len(self.widths))
        require(bool(self.widths), "widths=: expected at least one channel count, such as 32,64")
        for width in self.widths:
            check_integer("widths", width, 1, 4096)
        heads, width = self.attention_heads, self.widths[-1]
        expected = f"expected a divisor of {width}, the width of the lowest level"
        require(not heads or width % heads == 0, f"attention_heads={heads}: {expected}")
        if self.array_shape is not None:
            check_array_shape(self.array_shape)
            return
        self._check_size()

    def _check_size(self) -> None:
        size, patch, levels = self.image_size, self.patch_size, len(self.widths)
        reason = f"for patch_size={patch} and {levels} levels"
        remedy = "choose another size, or fewer widths"
        if self.task == "autoencoder":
            # Its levels follow from its factor.
            smaller = "" if self.factor == min(FACTORS) else ", or a smaller factor"
            reason, remedy = f"since factor={self.factor}", f"choose another size{smaller}"
        expected = f"expected a multiple of {self.divisor}, {reason}"
        require(size % self.divisor == 0, f"image_size={size}: {expected}; {remedy}")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: an image [S, S, C], or an array of 1 to 3 axes."""
        return self.array_shape or (self.image_size, self.image_size, self.channels)

    @property
    def divisor(self) -> int:
        """What the network's patches and levels divide height and width by."""
        return self.patch_size * 2 ** (len(self.widths) - 1)

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """The inputs after noisy images, times and labels, in order."""
        size, channels, factor = self.image_size, self.channels, self.factor
        return conditions_of(self.task, image_size=size, channels=channels, factor=factor)

    def heads(self, level: int) -> int:
        """The number of attention heads of a level."""
        return self.attention_heads if level == len(self.widths) - 1 else 0
