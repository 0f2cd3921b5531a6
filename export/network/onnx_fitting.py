"""Which inputs and output of an ONNX file are which, and whether it takes several images."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...trainer.errors import InputError, first_line
from ..conditions import Condition
from .conditions import Pixels, fitted_conditions
from .fitted import array_shape_of, output_of, require_types, size_of, taken
from .onnx_file import OnnxFile, declared, session_of
from .onnx_network import OnnxNetwork
from .roles import CHANNELS, CONDITION, GUIDANCE, LABELS, NOISY, Input, roles_of

_IMAGES = 3
# How far two computations of one network are apart, relative to the size of its output.
_SAME, _SAME_IN_HALF = 1e-3, 5e-2

_FREE_BATCH = (
    "export it with the batch as a free dimension of every input, the condition's too, as in "
    'dynamic_axes={"sample": {0: "batch"}, "timestep": {0: "batch"}}'
)


def fitted_onnx(
    file: OnnxFile,
    *,
    classes: int = 0,
    inputs: Sequence[str] = (),
    image_size: Sequence[int] | None = None,
    whole_condition: bool = False,
    learned_variance: bool = False,
    conditions: Mapping[str, Condition] = {},
    pixels: Pixels = (0.0, 1.0),
    takes_guidance: bool = False,
    arrays: bool = False,
) -> OnnxNetwork:
    """An ONNX file behind the call that a sampler makes; the settings are those of `fitted`.

    Raises InputError for a network of another kind, and for one that cannot be called, or not with
    several images.
    """
    ports = [(value.name, *declared(value)) for value in file.model.graph.input]
    own = [Input(name, shape[1:], _single(dtype)) for name, shape, dtype in ports]
    roles = roles_of(
        *(own, classes, inputs),
        whole_condition=whole_condition,
        conditions=conditions,
        takes_guidance=takes_guidance,
        arrays=arrays,
    )
    by_role = dict(zip(roles, own, strict=True))
    image = by_role[NOISY]
    require_types(image, by_role[CONDITION], whole_condition=whole_condition)
    channels_first = not arrays and _channels_first(image, image_size)
    if arrays:
        shape = array_shape_of(image)
    else:
        shape = size_of(image.shape, image_size, channels_first=channels_first)
    batches = [sizes[0] if sizes else 1 for _, sizes, _ in ports]
    if most := max((size for size in batches if size not in (None, 1)), default=0):
        raise InputError(f"network={file.path}: is for a batch of {most}; {_FREE_BATCH}")
    depth = 2 * shape[-1] if learned_variance else shape[-1]
    channels = None if arrays else shape[-1]
    further = fitted_conditions(
        conditions, by_role, channels_first=channels_first, pixels=pixels, channels=channels
    )
    alone = 1 in batches
    network = OnnxNetwork(file, shape, tuple(own), roles, 0, channels_first, alone, depth, further)
    outputs = _outputs(network)
    shapes = [each.shape[1:] for each in outputs]
    remedy = "export it with only that output"
    place = output_of(shapes, shape, remedy, channels_first=channels_first, depth=depth)
    network = replace(network, output=place)
    _require_same(network, network.predicted(outputs))
    return network


def _single(dtype: str) -> str:
    return "float32" if dtype in ("float16", "bfloat16") else dtype


def _channels_first(image: Input, size: Sequence[int] | None) -> bool:
    ends = image.shape[0] in CHANNELS, image.shape[-1] in CHANNELS
    if all(ends) and size is None:
        raise InputError(
            f"network: its images are {image}, whose channels may be first or last; give "
            "image_size=(height, width) to tell them apart"
        )
    return image.shape[:2] != tuple(size or ()) if all(ends) else ends[0]


def _examples(network: OnnxNetwork) -> list[np.ndarray]:
    """Some noise, conditions and labels."""
    noise = np.random.default_rng(0).normal(size=(_IMAGES, *network.shape)).astype(np.float32)
    condition = np.arange(_IMAGES, dtype=np.float32)
    if not network.takes_whole_condition:
        condition = (condition + 1) / (_IMAGES + 1)
    labels = np.zeros(_IMAGES, np.int64)
    given = {NOISY: noise, CONDITION: condition, LABELS: labels}
    given[GUIDANCE] = np.ones(_IMAGES, np.float32)
    given |= {each.name: each.examples(_IMAGES) for each in network.conditions}
    return [given[role] for role in taken(network)]


def _outputs(network: OnnxNetwork) -> list[np.ndarray]:
    """What onnxruntime makes of the file as it is."""
    try:
        return network.outputs(session_of(network.file.model), _examples(network))
    except Exception as error:  # onnxruntime's errors have no other common base
        raise InputError(
            f"network={network.file.path}: onnxruntime cannot run it ({first_line(error)}); export "
            "it again, with opset_version=18"
        ) from error


def _require_same(network: OnnxNetwork, expected: np.ndarray) -> None:
    """Raise InputError if the graph of several images computes something else than the file."""
    inputs = _examples(network)
    remedy = _FREE_BATCH if network.alone else "export it with opset_version=18"
    received = f"network={network.file.path}: its graph, changed to take several images,"
    feeds = dict(zip(taken(network), inputs, strict=True))
    try:
        session = session_of(network.graph)
        names = [value.name for value in session.get_inputs()]
        (prediction,) = session.run(None, {name: feeds[name] for name in names})
    except InputError:
        raise
    except Exception as error:  # onnxruntime's errors have no other common base
        raise InputError(f"{received} fails ({first_line(error)}); {remedy}") from error
    if not np.isfinite(expected).all():
        return  # for which `trial` has words
    if prediction.shape != expected.shape:
        raise InputError(
            f"{received} returns shape {prediction.shape}, expected {expected.shape}; {remedy}"
        )
    apart = np.abs(prediction - expected).max() / max(np.abs(expected).max(), 1e-12)
    if apart > (_SAME_IN_HALF if network.file.is_half else _SAME):
        raise InputError(f"{received} differs from the file by {apart:.1%}; {remedy}")
