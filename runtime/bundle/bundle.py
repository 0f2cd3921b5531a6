"""Opens a bundle: reads its manifest, and checks that the entries fit together.

bundle.schema.json says what a manifest must contain, and docs/bundle.md what a bundle must.
"""

import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..checking import Signature
from ..checking.limits import MAX_GRAPH_BYTES, MAX_MANIFEST_BYTES
from ..errors import BundleError
from ..limits import MAX_GUIDANCE
from ..paths import local_path
from .agreement import require_agreement
from .conditions import Condition, listed_conditions
from .files import ListedFile, opened, unreadable
from .graph import ESSENTIALS, GRAPHS, OF_ONE_STAGE, Graph
from .manifest import EXPORT_AGAIN, MANIFEST, incomplete, read_manifest
from .samples import SIDES, drawn_samples, require_two_stages

Value = TypeVar("Value")

IMAGE_DTYPES = ("uint8", "float32")
# The inputs of step.onnx that it does not give back, besides conditions.
_NOT_CARRIED = ("step", "steps", "labels", "guidance")


class Bundle(NamedTuple):
    """What the runtime needs of a manifest that has been checked.

    `sample_shape` is (height, width, channels) of an image, and `sample_dtype` is "uint8" or
    "float32" in [0, 1]. Where a bundle `draws_arrays`, which are no pictures, their shape has 1 to
    3 axes, and their numbers are float32 in units of their own. A bundle of a latent model has a
    `latent_shape`: noise has it, and a decoder makes images. In a cascade, a second stage enlarges
    the pictures of the first by a `factor` above 1; steps, noise, guidance and conditions are the
    first stage's, and `eta` is how much fresh noise its steps draw. `levels` are those of black and
    white in photographs of more than 8 bits, None for 0 and 65535. `fit` says how photographs of
    another shape become images: "crop", "pad" or "stretch". `graphs` are the graphs by name:
    "sampler", "step", … "sampler" and "from_noise" take only `unrolled_steps` steps and batches of
    `unrolled_batch`, or any number where that is None. `class_names` are the names of classes 0, 1,
    …, empty for a model without classes. `conditions` are further inputs of the network, in the
    order of the graphs. `default_guidance` is the guidance that the exporter recommends. Graphs
    take guidance in `guidance_range`; where the network `takes_guidance`, it costs no second
    evaluation. Outside of `table_guidance`, the range of the learned tables,
    `default_steps_outside` are the default. `litert` are the LiteRT files, by the names of their
    graphs.
    """

    path: Path
    sample_shape: tuple[int, ...]
    sample_dtype: str
    default_steps: int
    max_steps: int
    graphs: Mapping[str, Graph]
    unrolled_steps: int | None = None
    unrolled_batch: int | None = None
    class_names: tuple[str, ...] = ()
    default_guidance: float = 1.0
    guidance_range: tuple[float, float] = (0.0, MAX_GUIDANCE)
    takes_guidance: bool = False
    table_guidance: tuple[float, float] = (-math.inf, math.inf)
    default_steps_outside: int = 0
    litert: Mapping[str, ListedFile] = MappingProxyType({})
    levels: tuple[float, float] | None = None
    conditions: tuple[Condition, ...] = ()
    fit: str = "crop"
    draws_arrays: bool = False
    latent_shape: tuple[int, ...] | None = None
    factor: int = 1
    eta: float = 0.0

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy in another process reads and checks the manifest there.
        return open_bundle, (self.path,)

    @property
    def guides_conditions(self) -> bool:
        """Whether there are conditions that guidance leaves out: those with a null."""
        return any(each.null is not None for each in self.conditions)

    @property
    def is_guided(self) -> bool:
        """Whether graphs take guidance: there are classes or conditions for it to leave out."""
        return bool(self.class_names) or self.guides_conditions

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """The shape of the noise that one sample grows from: a latent's, if there is a decoder."""
        return self.latent_shape or self.small_shape

    @property
    def small_shape(self) -> tuple[int, ...]:
        """The shape of the first stage's samples, which in a cascade a second stage enlarges."""
        if self.factor == 1:
            return self.sample_shape
        height, width, channels = self.sample_shape
        return height // self.factor, width // self.factor, channels

    @property
    def samples(self) -> str:
        """What the graphs call the samples that go in and come out."""
        return "samples" if self.draws_arrays else "images"

    def carried(self) -> list[str]:
        """Return the inputs of the graph "step" that it gives back for the next step, in order."""
        others = (*_NOT_CARRIED, *(each.name for each in self.conditions))
        inputs = self.graph("step").signature.inputs
        return [port.name for port in inputs if port.name not in others]

    def default_steps_at(self, guidance: object) -> int:
        """Return the default steps under a guidance, or under the default one for None."""
        low, high = self.table_guidance
        number = isinstance(guidance, int | float | np.integer | np.floating)
        outside = number and (guidance < low or guidance > high)
        return self.default_steps_outside if outside else self.default_steps

    def graph(self, name: str) -> Graph:
        """Return the graph `name`; BundleError if the bundle does not hold it."""
        self.require_graphs(name)
        return self.graphs[name]

    def require_graphs(self, *names: str) -> None:
        """BundleError unless the bundle holds these graphs."""
        missing = [name for name in names if name not in self.graphs]
        if not missing:
            return
        held = [name for name in ("sampler", *self.graphs, *names) if name in GRAPHS]
        wanted = ",".join(dict.fromkeys(held))
        remedy = f"{EXPORT_AGAIN} with --graphs={wanted}"
        if missing[0] not in GRAPHS:
            remedy = "name one of these"
        elif self.factor > 1 and missing[0] in OF_ONE_STAGE:
            remedy = "a cascade has no such graph, use the bundle of its first stage instead"
        elif self.path == shipped_bundle():
            remedy = (
                "the flowers that are installed with diffkiln only draw pictures: give a --bundle "
                f"of your own, exported with --graphs={wanted}"
            )
        raise BundleError(
            f"{self.path} holds no graph {missing[0]!r}, only {', '.join(sorted(self.graphs))}; "
            f"{remedy}"
        )


def shipped_bundle() -> Path:
    """The bundle that is installed with diffkiln: flowers of 102 species, 64 × 64 pixels."""
    return Path(__file__).resolve().parents[1] / "flowers.bundle"


def open_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Read and check the manifest of the bundle at `path`; its graphs are checked when used.

    `path` is a folder, or a .zip that holds one. A relative one stays the same file if the process
    changes its working directory. Raises BundleError, which names the file, what it holds, what was
    expected and a remedy.
    """
    try:
        root = local_path(path).absolute()
    except ValueError as error:
        raise BundleError(f"{path} {error}") from error
    try:
        _require_bundle(root)
    except OSError as error:
        raise unreadable(root / MANIFEST, error) from error
    with opened(root, MANIFEST) as (stream, _):
        content = stream.read(MAX_MANIFEST_BYTES + 1)
    return _bundle(root, read_manifest(content, root / MANIFEST))


def _require_bundle(root: Path) -> None:
    expected = "expected the folder that diffkiln-export wrote"
    if root == shipped_bundle() and not (root / MANIFEST).is_file():
        raise incomplete(root / MANIFEST)
    if not root.exists():
        raise BundleError(f"{root} does not exist; {expected}: check the path")
    if root.is_file():
        if not _is_zip(root):
            raise BundleError(f"{root} is not a folder; {expected}, or a .zip of it")
    elif not (root / MANIFEST).is_file():
        raise BundleError(f"{root} holds no {MANIFEST}; {expected}: check the path")


def _is_zip(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(4) in (b"PK\3\4", b"PK\5\6")


def _bundle(root: Path, values: Mapping[str, Any]) -> Bundle:
    """The bundle of a manifest that fits the schema; BundleError unless its entries agree."""
    image, sampler = values.get("image", {}), values["sampler"]
    unrolled = sampler["unrolled"] or {}
    bundle = Bundle(
        path=root,
        **_checked(root, drawn_samples, values),
        default_steps=sampler["default_steps"],
        max_steps=sampler["max_steps"],
        graphs={name: _graph(root, values, name) for name in values["graphs"]},
        unrolled_steps=unrolled.get("steps"),
        unrolled_batch=unrolled.get("batch"),
        class_names=tuple(values["model"].get("class_names", ())),
        default_guidance=float(sampler.get("default_guidance", 1.0)),
        **_of_guidance(values["model"]),
        litert={
            name: ListedFile(*_listed(root, values, name, file))
            for name, file in values.get("litert", {}).items()
        },
        levels=tuple(image["levels"]) if "levels" in image else None,
        conditions=_checked(
            root, partial(listed_conditions, cascade="then" in values), values.get("conditions", [])
        ),
        fit=image.get("fit", "crop"),
        **_of_tables(sampler),
        eta=float(sampler["eta"]),
    )
    agree = partial(require_agreement, learned_variance=sampler.get("variance") == "learned")
    _checked(root, agree, bundle)
    if bundle.factor > 1:
        _checked(root, require_two_stages, bundle)
    return bundle


def _checked(root: Path, check: Callable[[Any], Value], entries: Any) -> Value:
    """What `check` makes of entries; BundleError for its ValueError."""
    try:
        return check(entries)
    except ValueError as error:
        raise BundleError(f"{root / MANIFEST}: {error}; {EXPORT_AGAIN}") from error


def _of_guidance(model: Mapping[str, Any]) -> dict[str, Any]:
    if "guidance_range" not in model:
        return {}
    return {"guidance_range": tuple(map(float, model["guidance_range"])), "takes_guidance": True}


def _of_tables(sampler: Mapping[str, Any]) -> dict[str, Any]:
    guidance, outside = sampler.get("tables", {}).get("guidance"), "default_steps_outside"
    if guidance is None or outside not in sampler:
        return {}
    return {"table_guidance": tuple(map(float, guidance)), outside: sampler[outside]}


def _graph(root: Path, values: Mapping[str, Any], name: str) -> Graph:
    graph = values["graphs"][name]
    numbers = math.prod(values["image"][side] for side in SIDES) if "latent" in values else 0
    return Graph(
        *_listed(root, values, name, graph["file"]),
        Signature.of(graph["inputs"], graph["outputs"]),
        {key: values[key] for key in ESSENTIALS if key in values} if name == "sampler" else {},
        numbers,
        "then" in values,
    )


def _listed(
    root: Path, values: Mapping[str, Any], name: str, file: str
) -> tuple[Path, str, str, int]:
    """The fields of a `ListedFile`; BundleError for one that is not listed, or too large."""
    record = values["files"].get(file)
    if record is None:
        raise _error(root, f"{file!r} of {name!r} is missing in 'files'", "its size there")
    if record["bytes"] > MAX_GRAPH_BYTES:
        raise _error(
            root, f"{file!r} has {record['bytes']} bytes", f"at most {MAX_GRAPH_BYTES} of a graph"
        )
    return root, file, record["sha256"], record["bytes"]


def _error(root: Path, problem: str, expected: str) -> BundleError:
    return BundleError(f"{root / MANIFEST}: {problem}, expected {expected}; {EXPORT_AGAIN}")
