"""A bundle before it is written: its functions, what makes graphs of them, and its tables."""

import logging
from pathlib import Path
from typing import Any

from ..runtime.limits import MAX_GUIDANCE
from ..trainer.errors import InputError
from ..trainer.maths.diffusion import Denoiser
from ..trainer.maths.sampling import Sampling
from ..trainer.maths.schedules import as_schedule
from ..trainer.maths.tables import Tables
from .baking.signatures import Signatures
from .checks import per_channel
from .graphs.assemble import OnnxExporter
from .graphs.conversion import convert, converted
from .graphs.rewriting.half_precision import half_precision
from .learning.file import TableFile, read_tables, subject_of
from .learning.learn import learn_tables
from .learning.teacher import Subject
from .model import Model
from .network.kinds import Network, fit
from .options import Baking, Learning

_LOG = logging.getLogger("diffkiln.export")


def baked_signatures(network: Network, model: Model, baking: Baking) -> Signatures:
    """The functions of a bundle; InputError for a network or settings that do not fit the model."""
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
        per_channel("pixel_mean", model.pixel_mean, shape[-1], least=0),
        per_channel("pixel_std", model.pixel_std, shape[-1], least=1e-6),
        clip=baking.clip,
        conditioning=model.conditioning,
        num_classes=len(model.class_names) or None,
        first_timestep=model.first_timestep,
        dynamic_threshold=baking.dynamic_threshold,
        learned_variance=learned_variance,
        guidance_range=None if model.guidance_range is None else (least, most),
    )
    sampling = Sampling(denoiser, baking.solver, baking.eta, baking.time_grid)
    return Signatures(sampling, shape, baking.image_dtype, own.conditions)


def graph_exporter(signatures: Signatures, baking: Baking) -> OnnxExporter:
    """The exporter that turns the functions of a bundle into ONNX graphs."""
    own: Any = signatures.sampling.denoiser.network
    graph = convert(signatures.network) if own.graph is None else converted(own.graph)
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
        subject = Subject(signatures, convert(signatures.network))
        learn_tables(subject, learning, file, path, fixed_times=own.takes_whole_condition)
    tables, steps = file.tables, baking.unroll_steps
    if tables is None:
        _LOG.warning("%s: holds no table, so the bundle has none", path)
    elif steps is not None and steps not in tables.by_steps:
        known = ", ".join(map(str, tables.counts))
        raise InputError(f"unroll_steps={steps}: {path} has no table for it, only for {known}")
    return tables
