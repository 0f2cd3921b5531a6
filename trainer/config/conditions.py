"""What a network is told besides the time and the class: the tasks, and the tensors of each."""

from dataclasses import dataclass

from .choices import require

FEWEST_TIMES, MOST_TIMES = 2, 8


@dataclass(frozen=True)
class ConditionSpec:
    """An input of the network that comes after noisy images, times and labels.

    `shape` is of one picture; the network's tensor has the batch before it. `kind` is `image`
    (pixels normalised as the noisy images are), `mask` (above 0 where the picture is to be painted,
    0 elsewhere) or `level` (a number in [0, 1]).
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    kind: str

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} [{', '.join(map(str, ('N', *self.shape)))}]"


def conditions_of(
    task: str, *, image_size: int, channels: int, factor: int | None
) -> tuple[ConditionSpec, ...]:
    """The conditions of a task's network, in the order of its inputs; none for `generation`."""
    picture = (image_size, image_size, channels)
    if task == "super_resolution":
        small = image_size // (factor or 1)
        return (
            ConditionSpec("low_resolution", (small, small, channels), "float32", "image"),
            ConditionSpec("augmentation", (), "float32", "level"),
        )
    if task == "inpainting":
        return (
            ConditionSpec("masked_image", picture, "float32", "image"),
            ConditionSpec("paint_mask", (*picture[:2], 1), "float32", "mask"),
        )
    return ()


def check_task(task: str, factor: int | None, image_size: int) -> None:
    """Check that there is a factor that divides the size, where the task enlarges pictures."""
    if task == "autoencoder":
        return
    if task != "super_resolution":
        problem = f"only task=super_resolution and autoencoder have it, not {task}; leave it out"
        require(factor is None, f"factor={factor}: {problem}")
        return
    missing = "needs a factor, how many times larger pictures become; give factor too, such as 4"
    require(factor is not None, f"task=super_resolution: {missing}")
    expected = f"expected a divisor of image_size={image_size} from {FEWEST_TIMES} to {MOST_TIMES}"
    require(image_size % (factor or 1) == 0, f"factor={factor}: {expected}")
