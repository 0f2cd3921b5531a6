"""What a run writes down of its data, and of its best step."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DataSummary:
    """The data of a run, with pixel statistics per channel where pixels lie in [0, 1].

    `fingerprint` is the SHA-256 of all pixels in order, for training and then for evaluation; for a
    folder it is "files-" and the SHA-256 of the paths and sizes of its files. Evaluation may use
    fewer than `eval_images`. `class_names` are the classes that the network learns.
    """

    fingerprint: str
    images: int
    eval_images: int
    pixel_mean: tuple[float, ...]
    pixel_std: tuple[float, ...]
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Best:
    """The saved step whose averaged weights have the lowest `measure`.

    The measure is `eval_loss`, the loss on held-out images, or `kid`, by the features of
    `extractor`.
    """

    step: int
    eval_loss: float | None
    measure: str = "eval_loss"
    kid: float | None = None
    extractor: str | None = None

    def beats(self, other: "Best | None") -> bool:
        """Whether this step is better; another measure or extractor starts the choice again."""
        if other is None or (other.measure, other.extractor) != (self.measure, self.extractor):
            return True
        return getattr(self, self.measure) < getattr(other, self.measure)
