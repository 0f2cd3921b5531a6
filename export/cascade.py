"""From a super-resolution bundle to the second stage of a cascade, and to its float64 reference."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import tensorflow as tf

from ..runtime.bundle.bundle import Bundle
from ..runtime.bundle.conditions import Condition, condition_of
from ..runtime.bundle.manifest import EXPORT_AGAIN
from ..runtime.bundle.tasks import SMALL
from ..trainer.errors import InputError
from ..trainer.maths.diffusion import Denoiser
from ..trainer.maths.sampling import Sampling
from ..trainer.maths.schedules import schedule_of
from ..trainer.maths.tables import Tables
from .baking.noise import UPSCALING_STREAM
from .baking.parts import LABELS
from .baking.signatures import Signatures
from .baking.upscaling import Augmentation, Upscaler
from .graphs.graph import runner
from .graphs.upscaler import upscaler_graph, with_float_pixels
from .network.conditions import FittedCondition
from .proof.denoisers import network_of
from .proof.reference import reference_of
from .proof.reference_upscaling import ReferenceUpscaler
from .second import AUGMENTATION, Second

# The SavedModel's network, whose small picture has float32 levels.
NETWORK = "network"


def upscaler_behind(
    first: Signatures, second: Second, class_names: Sequence[str], *, traced: bool
) -> Upscaler:
    """The second stage, with TensorFlow functions if it is to be `traced`.

    Raises InputError for stages that do not fit each other.
    """
    _require_fit(first, second, class_names)
    bundle, shared = second.bundle, _shared(first, second.bundle)
    fixed = _fixed(second, frozenset(str(spec.name) for spec in shared))
    augmentation = Augmentation(second.augmentation, *second.pixels)
    numbers = {
        "steps": np.array(second.steps, np.int64),
        "guidance": np.array(bundle.default_guidance, np.float32),
    }
    sampler = onnx.ModelProto.FromString(second.content("sampler"))
    shapes = second.small_shape, bundle.sample_shape
    graph = upscaler_graph(sampler, shapes, shared, {**fixed, **numbers}, augmentation)
    settings = second.factor, second.steps, bundle.default_guidance, shared, fixed, augmentation
    upscaler = Upscaler(bundle.sample_shape, *settings, graph)
    return _with_functions(upscaler, second) if traced else upscaler


def reference_upscaler(second: Second, description: Mapping[str, Any]) -> ReferenceUpscaler:
    """The second stage in float64, of the cascade whose manifest's essentials these are."""
    denoiser = with_float_pixels(onnx.ModelProto.FromString(second.content("denoiser")))
    names = frozenset(value.name for value in denoiser.graph.input)
    network = network_of(runner(denoiser.SerializeToString()), names)
    sampler = reference_of(second.description, network, denoises=True)
    bundle, own = second.bundle, map(condition_of, description.get("conditions", []))
    shared = _names_of_both(own, bundle)
    fixed, guidance = _fixed(second, shared), bundle.default_guidance
    given = frozenset({"labels", *shared} & names), fixed, second.augmentation, *second.pixels
    settings = second.steps, guidance, *given
    return ReferenceUpscaler(sampler, bundle.sample_shape, *settings)


def _require_fit(first: Signatures, second: Second, class_names: Sequence[str]) -> None:
    received, bundle = f"then={second.bundle.path}", second.bundle
    if first.is_of_arrays:
        problem = "enlarges pictures, and the first stage draws arrays that are no pictures"
        raise InputError(f"{received}: {problem}; leave it out")
    if any(each.name == SMALL for each in first.conditions):
        problem = "enlarges pictures that are drawn, and the first stage enlarges some itself"
        raise InputError(f"{received}: {problem}; leave it out")
    if first.shape != second.small_shape:
        raise InputError(
            f"{received}: enlarges pictures {list(second.small_shape)}, expected "
            f"{list(first.shape)}, which the first stage draws; give another bundle"
        )
    if bundle.sample_dtype != first.image_dtype:
        raise InputError(
            f"{received}: draws pictures of {bundle.sample_dtype}, expected "
            f"image_dtype={first.image_dtype}; {EXPORT_AGAIN} with it"
        )
    if bundle.class_names not in ((), tuple(class_names)):
        raise InputError(
            f"{received}: knows {len(bundle.class_names)} classes that are not the "
            f"{len(class_names)} of the first stage; give another bundle"
        )
    _require_same_conditions(first, bundle)


def _require_same_conditions(first: Signatures, bundle: Bundle) -> None:
    """Raise InputError unless the second stage takes what a condition of both may be.

    Callers see the first stage's entry, whose default is for both. Each stage keeps its own null
    and its own statistics of pixels, since they are in the units of its network.
    """
    theirs = {each.name: each._replace(description="") for each in bundle.conditions}
    theirs.pop(AUGMENTATION, None)  # whose level is baked
    for own in (each for each in _conditions(first) if each.name in theirs):
        one = theirs[own.name]
        received = f"then={bundle.path}: takes {one}, expected"
        if _form(one) != _form(own):
            remedy = "rename it in one of the networks"
            raise InputError(f"{received} {own} as in the first stage; {remedy}")
        if not one.minimum <= own.minimum <= own.maximum <= one.maximum:
            remedy = "give the first stage a minimum and a maximum within these"
            raise InputError(f"{received} all that the first stage takes, {own}; {remedy}")


def _conditions(first: Signatures) -> list[Condition]:
    """The conditions of the first stage, as its manifest lists them."""
    return [condition_of({**each.describe(), "description": ""}) for each in first.conditions]


def _form(condition: Condition) -> tuple[str, str, tuple[int, ...]]:
    return condition.name, condition.dtype, condition.shape


def _names_of_both(own: Iterable[Condition], bundle: Bundle) -> frozenset[str]:
    """The conditions that both stages take, except the level of the augmentation."""
    forms = {_form(each) for each in own}
    shared = {each.name for each in bundle.conditions if _form(each) in forms}
    return frozenset(shared - {AUGMENTATION})


def _shared(first: Signatures, bundle: Bundle) -> tuple[tf.TensorSpec, ...]:
    """The labels and the conditions that both stages take."""
    labels = [LABELS] if bundle.class_names else []
    own = {each.name: each.spec for each in first.conditions}
    both = _names_of_both(_conditions(first), bundle)
    return *labels, *(own[each.name] for each in bundle.conditions if each.name in both)


def _fixed(second: Second, shared: frozenset[str]) -> dict[str, np.ndarray]:
    """The values of its other conditions: the level of the augmentation, and defaults."""
    bundle, level = second.bundle, second.augmentation
    baked = {AUGMENTATION: np.array(level, np.float32)} if level else {}
    others = [each for each in bundle.conditions if each.name not in {SMALL, *shared, *baked}]
    for each in (each for each in others if each.default is None):
        remedy = "give then_augmentation, or" if each.name == AUGMENTATION else "give"
        raise InputError(
            f"then={bundle.path}: its network also takes {each}, which has no default and is not "
            f"given by the first stage; {remedy} another bundle"
        )
    return {each.name: np.full(each.shape, each.default, each.dtype) for each in others} | baked


def _with_functions(upscaler: Upscaler, second: Second) -> Upscaler:
    """The stage with the functions of its SavedModel's network."""
    folder = second.bundle.path / "saved_model"
    loaded: Any = tf.saved_model.load(str(folder)) if folder.is_dir() else None
    if loaded is None or NETWORK not in loaded.signatures:
        problem = f"holds no SavedModel with the signature {NETWORK!r}"
        remedy = f"{EXPORT_AGAIN} with one, or give saved_model=False for the cascade"
        raise InputError(f"then={second.bundle.path}: {problem}; {remedy}")
    signatures = _signatures(second.bundle, second.description, loaded.signatures[NETWORK])
    return replace(upscaler, signatures=signatures, variables=tuple(loaded.weights))


def _signatures(bundle: Bundle, description: Mapping[str, Any], network: Any) -> Signatures:
    """The functions of a bundle, of its SavedModel's network, with noise of the second stage."""
    _, specs = network.structured_input_signature
    model, sampler = description["model"], description["sampler"]
    conditions = [_fitted(each) for each in description["conditions"]]
    classes, guided = len(bundle.class_names), model.get("guidance_range")
    names = ["noisy", "condition", *(["labels"] if classes else [])]
    names += [*(["guidance"] if guided else []), *(each.name for each in conditions)]

    def call(inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        given = dict(zip(names, inputs, strict=True))
        return network(**{name: given[name] for name in specs})["prediction"]

    denoiser = Denoiser(
        call,
        schedule_of(description["schedule"]),
        model["prediction"],
        tuple(description["pixel_mean"]),
        tuple(description["pixel_std"]),
        clip=sampler["clip"],
        conditioning=model["conditioning"],
        num_classes=classes or None,
        first_timestep=model.get("first_timestep", 1),
        dynamic_threshold=sampler.get("dynamic_threshold"),
        guidance_range=None if guided is None else tuple(guided),
    )
    tables = Tables.from_json(sampler["tables"]) if "tables" in sampler else None
    settings = sampler["solver"], sampler["eta"], sampler["time_grid"], tables
    return Signatures(
        Sampling(denoiser, *settings),
        bundle.sample_shape,
        bundle.sample_dtype,
        tuple(conditions),
        first_stream=UPSCALING_STREAM,
    )


def _fitted(entry: Mapping[str, Any]) -> FittedCondition:
    """A condition as the network of a SavedModel takes it."""
    dtype = "float32" if entry["name"] == SMALL else entry["dtype"]
    shape, null = tuple(entry["shape"]), entry.get("null")
    value = None if null is None else np.broadcast_to(np.array(null, dtype), shape)
    return FittedCondition(entry["name"], dtype, shape, value)
