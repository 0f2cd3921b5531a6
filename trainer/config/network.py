"""The shape of the network."""

from dataclasses import dataclass

from .checks import check_integer, check_settings, require, setting
from .choices import MOST_CLASSES


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of a U-Net: `widths` are channels per level, each half the size of the last.

    With `attention_heads` the lowest level has self-attention. With `num_classes` the network takes
    labels too. Raises InputError, which names the setting, its value and what was expected.
    """

    image_size: int = setting(bounds=(1, 4096))
    widths: tuple[int, ...] = setting()
    blocks: int = setting(bounds=(1, 4096))
    patch_size: int = setting(bounds=(1, 4096))
    embedding_size: int = setting(32, bounds=(1, 4096))
    channels: int = setting(3, bounds=(1, 4096))
    attention_heads: int = setting(0, bounds=(0, 4096))
    num_classes: int | None = setting(None, bounds=(1, MOST_CLASSES))

    def __post_init__(self) -> None:
        check_settings(self)
        require(bool(self.widths), "widths=: expected at least one channel count, such as 32,64")
        for width in self.widths:
            check_integer("widths", width, 1, 4096)
        require(
            not self.attention_heads or self.widths[-1] % self.attention_heads == 0,
            f"attention_heads={self.attention_heads}: expected a divisor of {self.widths[-1]}, "
            "the width of the lowest level",
        )
        divisor = self.patch_size * 2 ** (len(self.widths) - 1)
        require(
            self.image_size % divisor == 0,
            f"image_size={self.image_size}: expected a multiple of {divisor}, for patch_size="
            f"{self.patch_size} and {len(self.widths)} levels; choose another size, or fewer "
            "widths",
        )

    def heads(self, level: int) -> int:
        """The number of attention heads of a level."""
        return self.attention_heads if level == len(self.widths) - 1 else 0
