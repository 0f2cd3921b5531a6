"""A bundle before it is written: its functions, what makes graphs of them, and its tables."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ..runtime.limits import MAX_GUIDANCE
from ..trainer.errors import InputError
from ..trainer.maths import units
from ..trainer.maths.diffusion import Denoiser
from ..trainer.maths.sampling import Sampling
from ..trainer.maths.schedules import as_schedule
from ..trainer.maths.tables import Tables
from .baking.signatures import Signatures
from .cascade import upscaler_behind
from .checks import per_channel, per_entry
from .graphs.assemble import OnnxExporter
from .graphs.conversion import convert, converted
from .graphs.rewriting.half_precision import half_precision
from .learning.file import TableFile, read_tables, subject_of
from .learning.learn import learn_tables
from .learning.teacher import Subject
from .model import Model
from .network.codec import Codec, fitted_codec
from .network.kinds import Network, fit
from .options import GRAPHS, OF_CODEC, OF_SECOND, Baking, Learning
from .second import Second

# A decoder and an encoder.
CodecNetworks = tuple[Any, Any]

# The graphs that a cascade may have.
OF_CASCADE = (*GRAPHS, OF_SECOND)

_LOG = logging.getLogger("diffkiln.export")


def baked_signatures(
    network: Network, model: Model, baking: Baking, codec: CodecNetworks = (None, None)
) -> Signatures:
    """The functions of a bundle; InputError for a network or settings that do not fit the model.

    `codec` are the decoder and the encoder of a latent model, if there are any.
    """
    if baking.default_guidance is not None and not model.is_guided:
        raise InputError(
            f"default_guidance={baking.default_guidance:g}: the model knows no classes, and no "
            "conditions that can be left out; leave it out"
        )
    least, most = model.guidance_range or (0.0, MAX_GUIDANCE)
    if baking.default_guidance is not None and not least <= baking.default_guidance <= most:
        raise InputError(
            f"default_guidance={baking.default_guidance:g}: expected a number from {least:g} to "
            f"{most:g}, the guidance_range of the network"
        )
    schedule = as_schedule(model.schedule)
    baking.check_steps(schedule.max_steps)
    learned_variance = baking.variance == "learned"
    own = fit(network, model, learned_variance=learned_variance)
    shape = own.shape
    denoiser = Denoiser(
        own,
        schedule,
        model.prediction,
        *_statistics(model, shape[-1]),
        clip=_clips(model, baking),
        conditioning=model.conditioning,
        num_classes=len(model.class_names) or None,
        first_timestep=model.first_timestep,
        dynamic_threshold=baking.dynamic_threshold,
        learned_variance=learned_variance,
        guidance_range=None if model.guidance_range is None else (least, most),
        arrays=model.is_of_arrays,
    )
    sampling = Sampling(denoiser, baking.solver, baking.eta, baking.time_grid)
    arrays = model.is_of_arrays and not model.is_of_latents
    dtype = "float32" if arrays else baking.image_dtype
    fitted = _codec(model, codec, shape)
    if fitted is not None and "inpaint" in baking.graphs and fitted.places is None:
        raise InputError(
            f"graphs=inpaint: latents {list(shape)} have no rows and columns that are blocks of "
            f"pixels of the decoder's images {list(fitted.image_shape)}; leave it out"
        )
    return Signatures(sampling, shape, dtype, own.conditions, fitted)


def with_second_stage(
    signatures: Signatures, second: Second | None, class_names: Sequence[str], baking: Baking
) -> Signatures:
    """The functions with a second stage behind the last step, if there is one."""
    if second is None:
        return signatures
    traced = baking.saved_model or baking.litert
    return replace(
        signatures, upscaler=upscaler_behind(signatures, second, class_names, traced=traced)
    )


def with_upscaler_graph(baking: Baking, second: Second | None) -> Baking:
    """The settings with the graph of a second stage; InputError for graphs that it leaves out."""
    if second is None:
        if OF_SECOND in baking.graphs:
            problem = "there is no second stage; give its bundle as then, or leave the graph out"
            raise InputError(f"graphs={OF_SECOND}: {problem}")
        return baking
    if OF_CODEC[0] in baking.graphs:
        problem = "enlarges pictures, and the first stage draws latents"
        raise InputError(f"then={second.bundle.path}: {problem}; leave it out")
    for name in (name for name in baking.graphs if name not in OF_CASCADE):
        raise InputError(
            f"graphs={name}: a cascade has no such graph, expected some of "
            f"{', '.join(OF_CASCADE)}; leave it out, and use the bundle of the first stage for it"
        )
    graphs = tuple(dict.fromkeys((*baking.graphs, OF_SECOND)))
    return replace(baking, graphs=graphs)


def with_codec_graphs(baking: Baking, codec: CodecNetworks) -> Baking:
    """The settings with the graphs of a decoder and an encoder; InputError for what they lack."""
    decoder, encoder = codec
    if encoder is not None and decoder is None:
        raise InputError("encoder: is for a latent model; give its decoder too")
    given = {"decoder": decoder is not None, "encoder": encoder is not None}
    for name in (name for name, there in given.items() if not there and name in baking.graphs):
        raise InputError(f"graphs={name}: there is no {name}; give it, or leave the graph out")
    if decoder is None:
        return baking
    for name in (name for name in ("inpaint", "edit", "encode") if name in baking.graphs):
        if encoder is None:
            raise InputError(
                f"graphs={name}: begins with images; give the encoder, or leave it out"
            )
    if "trajectory" in baking.graphs:
        raise InputError(
            "graphs=trajectory: would evaluate the decoder in each step; leave it out, and decode "
            "what the graph step makes"
        )
    more = [name for name, there in given.items() if there and name not in baking.graphs]
    return replace(baking, graphs=(*baking.graphs, *more))


def _codec(model: Model, networks: CodecNetworks, shape: Sequence[int]) -> Codec | None:
    """The decoder and the encoder of a latent model; InputError if only one side has them."""
    decoder, encoder = networks
    if decoder is None:
        if model.is_of_latents:
            raise InputError(
                "decoder: missing, but the model has statistics of latents and of pixels; give the "
                "decoder, or mean and std alone for arrays that are no pictures"
            )
        return None
    if not model.is_of_latents:
        raise InputError(
            "decoder: is for a network of latents; give mean and std of the latents, and "
            "pixel_mean and pixel_std of the decoder's images"
        )
    fitted = fitted_codec(decoder, encoder, tuple(shape))
    channels = fitted.image_shape[-1]
    mean = per_channel("pixel_mean", cast("Any", model.pixel_mean), channels, least=0)
    std = per_channel("pixel_std", cast("Any", model.pixel_std), channels, least=1e-6)
    return replace(fitted, mean=mean, std=std)


def _statistics(model: Model, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, or of each entry of an array's last axis."""
    mean, std = model.statistics
    if model.is_of_arrays:
        means = per_entry("mean", mean, channels)
        stds = per_entry("std", std, channels, positive=True)
        if reason := units.problem(means, stds):
            raise InputError(f"mean, std: {reason}")
        return means, stds
    return (
        per_channel("pixel_mean", mean, channels, least=0),
        per_channel("pixel_std", std, channels, least=1e-6),
    )


def _clips(model: Model, baking: Baking) -> bool:
    """Whether x̂_0 is clipped; InputError where there is no range for it."""
    if not model.is_of_arrays:
        return baking.clip is not False
    for name in ("clip", "dynamic_threshold"):
        if value := getattr(baking, name):
            raise InputError(
                f"{name}={value}: is for images, which have a range of pixels, and the network is "
                "of arrays; leave it out"
            )
    return False


def graph_exporter(signatures: Signatures, baking: Baking) -> OnnxExporter:
    """The exporter that turns the functions of a bundle into ONNX graphs."""
    own: Any = signatures.sampling.denoiser.network
    numbers = signatures.image_numbers
    if own.graph is None:
        graph = convert(signatures.network, numbers)
    else:
        graph = converted(own.graph, numbers)
    if baking.precision == "float16":
        graph = half_precision(graph)
    return OnnxExporter(
        signatures, graph, baking.unroll_steps, baking.batch_size, baking.numbers_as_lists
    )


def tables_of(
    network: Network,
    signatures: Signatures,
    baking: Baking,
    learning: Learning | Tables | None,
    bundle: Path,
) -> Tables | None:
    """The tables of a file, with those that are learned now; None for a bundle without any.

    Those of a student are given instead of how to learn them.

    Raises InputError for a file that does not belong to the model.
    """
    if learning is None and baking.tables is None:
        return None
    baking.check_allows_tables()
    if isinstance(learning, Tables):
        return learning
    if signatures.conditions:
        raise InputError(
            f"conditions: tables are learned from seeds alone, but the network also takes "
            f"{signatures.conditions[0].name}; leave the tables out"
        )
    path = Path(baking.tables or f"{bundle}.tables.json").expanduser()
    of_model = subject_of(network, signatures.sampling)
    new = learning is not None and not path.exists()
    file = TableFile(of_model) if new else read_tables(path, of_model)
    if learning is not None:
        own: Any = signatures.sampling.denoiser.network
        subject = Subject(signatures, convert(signatures.network, signatures.image_numbers))
        learn_tables(subject, learning, file, path, fixed_times=own.takes_whole_condition)
    tables, steps = file.tables, baking.unroll_steps
    if tables is None:
        _LOG.warning("%s: holds no table, so the bundle has none", path)
    elif steps is not None and steps not in tables.by_steps:
        known = ", ".join(map(str, tables.counts))
        raise InputError(f"unroll_steps={steps}: {path} has no table for it, only for {known}")
    return tables
