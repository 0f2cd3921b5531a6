"""The settings of an export, checked before TensorFlow or anything else slow is imported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from ..runtime.bundle.bundle import IMAGE_DTYPES
from ..runtime.bundle.graph import GRAPHS as ALL_GRAPHS
from ..runtime.limits import MAX_BATCH, MAX_GUIDANCE
from ..trainer.config import FEWEST_TABLE_STEPS, MOST_TABLE_STEPS, SOLVERS, TIME_GRIDS
from ..trainer.errors import InputError, check_choice
from .checks import check_list, check_type, is_whole
from .model import Model

if TYPE_CHECKING:
    from ..trainer.maths.schedules import Schedule
    from .conditions import Condition

GRAPHS = ("sampler", "from_noise", "denoiser", "noise", "step")
# Those of a latent model's decoder and encoder, which its bundles always have.
OF_CODEC = ("decoder", "encoder")
OF_SECOND = "upscaler"
MORE_GRAPHS = tuple(name for name in ALL_GRAPHS if name not in GRAPHS)
PRECISIONS = ("float32", "float16")
WEIGHTS = ("latest", "best")
VARIANCES = ("fixed", "learned")
MAX_UNROLL_STEPS = 200


def _setting(default: Any, text: str, choices: Sequence[str] = ()) -> Any:
    """A field of `Baking` with what the command's --help says of it."""
    return field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True)
class Baking:
    """How a model is baked, whatever the model is: each field is a setting and a flag.

    `solver` (`ddim` with η from 0 to 1, or `dpmpp_2m`) and `time_grid` are baked in. With η = 1 and
    `variance="learned"`, fresh noise has the variance that a network of 2·C outputs learned
    (Improved DDPM, arXiv 2102.09672). `clip`, by default True for images, holds x̂_0 in the range of
    pixels, and `dynamic_threshold` scales it by this quantile of each image before (Imagen, arXiv
    2205.11487). Arrays have no such range.
    `graphs` are the ONNX files to write. Images go in and come out as `image_dtype`: uint8, or
    float32 in [0, 1]. With `precision="float16"` the networks in the ONNX graphs hold their weights
    and compute in half precision. With `weight_storage="float16"` weights are rounded to float16,
    and the ONNX files hold them as that, for half the size; computation stays float32, since
    runtimes convert weights once, when they load a file. `unroll_steps` writes that many steps one
    after another instead of a Loop, for `batch_size` images if that is set. With `numbers_as_lists`
    the ONNX graphs declare steps and other single numbers as [1], not []. `tables` is a file of
    learned tables, which take the place of the solver for the steps that they know. Without
    `saved_model` the bundle is ONNX alone, and takes half the time. With `litert` each of the
    graphs is also written as a LiteRT file, which has a loop and float32 weights in any case.
    `default_guidance` (2 if None) is the guidance of a model with classes for programs that set
    none.

    Raises InputError for a setting out of range, and for settings that exclude each other.
    """

    solver: str = _setting("ddim", "how to take a step", SOLVERS)
    eta: float = _setting(0.0, "fresh noise of ddim, 0 to 1 (DDPM)")
    variance: str = _setting(
        "fixed", "of the fresh noise of eta 1; learned by a network of 2·C outputs", VARIANCES
    )
    time_grid: str = _setting("linear", "where the steps lie", TIME_GRIDS)
    clip: bool | None = _setting(None, "clip predicted images to the range of pixels; by default")
    dynamic_threshold: float | None = _setting(
        None, "scale by this quantile of each image (such as 0.995) before clipping"
    )
    image_dtype: str = _setting(
        "uint8", "type of the images: 0 to 255, or 0.0 to 1.0", IMAGE_DTYPES
    )
    graphs: Sequence[str] = _setting(
        GRAPHS, f"ONNX graphs to write, sampler among them; also {', '.join(MORE_GRAPHS)}"
    )
    precision: str = _setting(
        "float32", "number format of the networks in the ONNX graphs", PRECISIONS
    )
    weight_storage: str = _setting(
        "float32", "number format of weights in the ONNX files; float16 halves them", PRECISIONS
    )
    unroll_steps: int | None = _setting(None, "write this many steps out instead of a loop")
    batch_size: int | None = _setting(None, "fix the batch of --unroll_steps")
    numbers_as_lists: bool = _setting(
        False, "declare steps and other single numbers as [1], as Triton needs, instead of []"
    )
    tables: str | None = _setting(None, "file of learned tables, for pictures in a few steps")
    saved_model: bool = _setting(True, "write the SavedModel, which TensorFlow and --verify read")
    litert: bool = _setting(False, "write LiteRT (.tflite) files of the graphs too")
    default_guidance: float | None = _setting(
        None, "guidance towards a class for programs that set none; 2 by default"
    )

    def __post_init__(self) -> None:
        check_list("graphs", self.graphs, "names of graphs")
        object.__setattr__(self, "graphs", tuple(self.graphs))
        self._check_types()
        self._check_graphs()
        self._check_unrolling()
        guidance = self.default_guidance
        if guidance is not None and not 0 <= guidance <= MAX_GUIDANCE:
            raise InputError(
                f"default_guidance={guidance:g}: expected a number from 0 to {MAX_GUIDANCE:g}"
            )
        self._check_threshold()
        if (self.precision, self.weight_storage) == ("float16", "float16"):
            raise InputError(
                "weight_storage=float16: with precision=float16 the files hold float16 already; "
                "leave one of them out"
            )
        if not 0 <= self.eta <= 1:
            raise InputError(
                f"eta={self.eta:g}: expected a number from 0 (no fresh noise) to 1 (DDPM)"
            )
        if self.eta and self.solver != "ddim":
            raise InputError(
                f"eta={self.eta:g}: {self.solver} draws no fresh noise; expected 0, or solver=ddim"
            )
        if self.variance == "learned" and self.eta != 1:
            raise InputError(
                f"variance=learned: is the variance of DDPM's steps, which have eta=1, but eta is "
                f"{self.eta:g}; expected eta=1 with solver=ddim, or variance=fixed"
            )
        if self.tables is not None:
            self.check_allows_tables()

    def check_allows_tables(self) -> None:
        """Raise InputError for settings that exclude learned tables."""
        if self.eta:
            raise InputError(
                f"eta={self.eta:g}: a table has no place for fresh noise, with which a seed would "
                "not keep its picture; expected 0, or no tables"
            )
        if "encode" in self.graphs:
            raise InputError(
                f"graphs={','.join(self.graphs)}: the steps of a table cannot be taken back; leave "
                "encode out, or the tables"
            )

    def _check_types(self) -> None:
        for setting in fields(self):
            value, choices = getattr(self, setting.name), setting.metadata["choices"]
            if choices:
                check_choice(setting.name, value, choices)
            else:
                check_type(setting.name, value, setting.type)

    def _check_threshold(self) -> None:
        if self.dynamic_threshold is None:
            return
        received = f"dynamic_threshold={self.dynamic_threshold:g}"
        if not 0.5 <= self.dynamic_threshold <= 1:
            raise InputError(f"{received}: expected a share of the pixels, from 0.5 to 1")
        if self.clip is False:
            raise InputError(f"{received}: ends with clipping; leave it out, or clip=False")

    def check_steps(self, most: int) -> None:
        """Raise InputError for more unrolled steps than the schedule has."""
        if self.unroll_steps is not None and self.unroll_steps > most:
            raise InputError(
                f"unroll_steps={self.unroll_steps}: expected at most {most}, the timesteps of the "
                "schedule"
            )

    def _check_graphs(self) -> None:
        if "sampler" not in self.graphs or set(self.graphs) - {*ALL_GRAPHS, *OF_CODEC, OF_SECOND}:
            raise InputError(
                f"graphs={','.join(self.graphs)}: expected sampler and any others of "
                f"{', '.join(GRAPHS + MORE_GRAPHS)}"
            )
        if "encode" in self.graphs and (self.solver != "ddim" or self.eta):
            raise InputError(
                "graphs=encode: only deterministic DDIM can be inverted; leave encode out, or "
                "choose solver=ddim with eta=0"
            )
        if self.litert and "trajectory" in self.graphs:
            raise InputError(
                "graphs=trajectory: LiteRT has no tensors that grow from step to step; leave "
                "trajectory out, or litert"
            )

    def _check_unrolling(self) -> None:
        for name, most in (("unroll_steps", MAX_UNROLL_STEPS), ("batch_size", MAX_BATCH)):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= most:
                raise InputError(f"{name}={value}: expected a whole number from 1 to {most}")
        if self.batch_size is not None and self.unroll_steps is None:
            raise InputError(
                f"batch_size={self.batch_size}: fixes the batch of an unrolled sampler; add "
                "unroll_steps"
            )


@dataclass(frozen=True)
class Learning:
    """What tables to learn, samplers of a few steps for one network (docs/few_steps.md).

    `steps` are the step counts, each 2 to 20. The tables are for `guidance` between these two
    numbers, 1 and 4 if None, of a model with classes. `iterations` are those of Adam for each
    table; `seed` shuffles the pictures that it learns from.

    Raises InputError for a setting out of range.
    """

    steps: Sequence[int] = (4, 5, 6, 8, 10)
    guidance: Sequence[float] | None = None
    iterations: int = 80
    seed: int = 0

    def __post_init__(self) -> None:
        fewest, most = FEWEST_TABLE_STEPS, MOST_TABLE_STEPS
        counts = self.steps if isinstance(self.steps, Sequence) else (self.steps,)
        if not counts or not all(is_whole(count, fewest, most) for count in counts):
            raise InputError(
                f"learn_steps={','.join(map(str, counts))}: expected step counts from {fewest} to "
                f"{most}"
            )
        object.__setattr__(self, "steps", tuple(sorted(set(counts))))
        self._check_guidance()
        for name, least, most in (("iterations", 1, 10_000), ("seed", 0, 2**31)):
            if not is_whole(getattr(self, name), least, most):
                received = f"learn_{name}={getattr(self, name)}"
                raise InputError(f"{received}: expected a whole number from {least} to {most}")

    def _check_guidance(self) -> None:
        if self.guidance is None:
            return
        ends = [*self.guidance] if isinstance(self.guidance, Sequence) else [self.guidance]
        if len(ends) != 2 or not 0 <= ends[0] <= ends[1] <= MAX_GUIDANCE:
            raise InputError(
                f"learn_guidance={','.join(f'{each:g}' for each in ends)}: expected the least and "
                f"the greatest guidance, from 0 to {MAX_GUIDANCE:g}"
            )
        object.__setattr__(self, "guidance", (float(ends[0]), float(ends[1])))


class BakingSettings(TypedDict, total=False):
    """The fields of `Baking` as keywords."""

    solver: str
    eta: float
    variance: str
    time_grid: str
    clip: bool | None
    dynamic_threshold: float | None
    image_dtype: str
    graphs: Sequence[str]
    precision: str
    weight_storage: str
    unroll_steps: int | None
    batch_size: int | None
    numbers_as_lists: bool
    tables: str | None
    saved_model: bool
    litert: bool
    default_guidance: float | None


class Settings(BakingSettings, total=False):
    """The fields of `Model` and of `Baking` as keywords."""

    pixel_mean: float | Sequence[float] | None
    pixel_std: float | Sequence[float] | None
    mean: float | Sequence[float] | None
    std: float | Sequence[float] | None
    schedule: "Schedule | str | None"
    prediction: str
    conditioning: str
    class_names: Sequence[str]
    first_timestep: int
    inputs: Sequence[str]
    image_size: int | Sequence[int] | None
    levels: Sequence[float] | None
    fit: str
    conditions: "Mapping[str, Condition | str | Mapping[str, Any]]"
    guidance_range: Sequence[float] | None


def settings_as_objects(
    baking: Baking | None = None, **settings: Unpack[Settings]
) -> tuple[Model, Baking]:
    """The settings as what a network was trained as and how to bake it, the latter over `baking`.

    Raises InputError as `Model` and `Baking` do, and TypeError for a name that
    neither has.
    """
    of_model: Any = _named(settings, Model)
    of_baking: Any = _named(settings, Baking)
    if unknown := settings.keys() - of_model.keys() - of_baking.keys():
        raise TypeError(f"{', '.join(sorted(unknown))}: no such setting of an export")
    return Model(**of_model), replace(baking or Baking(), **of_baking)


def _named(settings: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """The settings that are fields of a dataclass."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in settings.items() if name in names}
