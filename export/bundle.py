"""Writing a bundle: everything, checked, in one piece, or nothing."""

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import onnx
import tensorflow as tf

from ..runtime.bundle.manifest import EXPORT_AGAIN
from ..runtime.bundle.seal import sealed
from ..trainer.errors import InputError
from ..trainer.maths.tables import Tables
from .cascade import reference_upscaler
from .checks import check_json
from .graphs.assemble import OnnxExporter
from .graphs.rewriting.half_precision import require_finite
from .graphs.rewriting.storage import store_in_half
from .litert.conversion import write_litert
from .manifest import essentials, write_manifest
from .model import Model
from .network.codec import DECODER, ENCODER, network_given
from .network.kinds import Network, as_stored, baking_of, computing, network_of, storing
from .network.trial import try_out
from .options import Baking, Learning, Settings, settings_as_objects
from .preparing import (
    CodecNetworks,
    baked_signatures,
    graph_exporter,
    tables_of,
    with_codec_graphs,
    with_second_stage,
    with_upscaler_graph,
)
from .proof.certify import Certificate, ParityError, certify
from .proof.reference import ReferenceSampler, reference_of
from .proof.reference_noise import reference_noise
from .publish import check_bundle_path, published
from .saved_model import write_saved_model
from .second import Second, second_stage
from .verify import open_all

_LOG = logging.getLogger("diffkiln.export")


def export_bundle(
    network: Any,
    bundle: Path | str,
    *,
    decoder: Any = None,
    encoder: Any = None,
    then: Path | str | None = None,
    then_steps: int | None = None,
    then_augmentation: float = 0.0,
    baking: Baking | None = None,
    learning: Learning | None = None,
    training: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    **settings: Unpack[Settings],
) -> Certificate:
    """Bake a network and its sampler into a bundle, and prove the parity of what was written.

    `network`, a Keras model, takes noisy images [N, H, W, C] with 1 to 4 channels, and a condition
    [N], [N, 1], [N, 1, 1], [N, 1, 1, 1] or [N, H, W, 1], in a list, a dict or a call of several
    arguments; it returns the prediction [N, H, W, C]. Layouts with channels first and computation
    in other precisions are adapted; what Keras computes in `predict` is baked, in float32. Such a
    network may also be the path of an .onnx file, of which there is no SavedModel. `pixel_mean`,
    `pixel_std`, `schedule`, `prediction`, `conditioning`, `class_names`, `first_timestep`,
    `inputs`, `image_size`, `levels`, `fit` and `conditions` say what it was trained as (see
    `Model`). The other settings say how to bake it (see `Baking`), and take precedence over those
    in `baking`. With `learning`, tables are learned first, and kept in the file `tables` or beside
    the bundle. The folder `bundle` is written completely or not at all.

    With a `decoder`, the network denoises latents, and the decoder makes images of them once, after
    the last step; an `encoder` lets `encode`, `inpaint` and `edit` begin with images. Each is a
    Keras model or the path of an .onnx file.

    `then` is a super-resolution bundle, the second stage of a cascade: it enlarges what the network
    draws, in the same graph, in always `then_steps` steps (its default if None).
    `then_augmentation` is the level of noise that is added to the small picture, 0 to below 1.

    With `class_names`, the network takes labels [N] too: class numbers, or −1 for no class; or
    one-hot labels, all 0 for no class. The graphs then take `labels` int64 [N] and `guidance`
    float32 [] last. After them come `conditions`, by name what else the network takes. `training`
    (JSON values) is copied into the manifest unchanged.

    Raises InputError for settings that do not fit, a network that ONNX cannot express, a `bundle`
    that exists without `overwrite`, and parity worse than the certificate's tolerance; OSError if
    the bundle cannot be written.
    """
    model, baking = settings_as_objects(baking, **settings)
    return write_bundle(
        *(network, bundle, model, baking, learning),
        codec=(decoder, encoder),
        second=second_stage(then, then_steps, then_augmentation),
        training=training,
        overwrite=overwrite,
    )


def write_bundle(
    network: Any,
    bundle: Path | str,
    model: Model,
    baking: Baking,
    learning: Learning | None = None,
    *,
    codec: CodecNetworks = (None, None),
    second: Second | None = None,
    tables: Tables | None = None,
    training: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Certificate:
    """Do what `export_bundle` does, with its settings as objects, and with a student's tables.

    `codec` are the decoder and the encoder, None for those that there are not, and `second` is the
    second stage of a cascade.
    """
    # Resolved, so that a link stays and the bundle that it leads to is replaced.
    bundle = Path(bundle).expanduser().resolve()
    check_bundle_path(bundle, overwrite=overwrite)
    check_json("training", training)
    networks = [network_of(network, classes=bool(model.class_names))]
    given = zip((DECODER, ENCODER), codec, strict=True)
    networks += [network_given(role, each) for role, each in given if each is not None]
    baking = with_codec_graphs(baking_of(networks, baking, learning), codec)
    baking = with_upscaler_graph(baking, second)
    networks = [as_stored(each, baking) for each in networks]
    with computing(networks):
        return _write(networks, bundle, model, baking, tables or learning, second, training)


def _write(
    networks: Sequence[Network],
    bundle: Path,
    model: Model,
    baking: Baking,
    learning: Learning | Tables | None,
    second: Second | None,
    training: Mapping[str, Any] | None,
) -> Certificate:
    network, decoder, encoder, *_ = (*networks, None, None)
    first = baked_signatures(network, model, baking, (decoder, encoder))
    signatures = with_second_stage(first, second, model.class_names, baking)
    exporter = graph_exporter(signatures, baking)
    # A function of its own is traced, and written, once for all that call it.
    function = signatures.network
    calling = signatures.with_network(lambda inputs: function(*inputs)["prediction"])
    try_out(calling.sampling, signatures.shape, signatures.conditions)
    tables = tables_of(network, first, baking, learning, bundle)
    signatures = signatures.with_tables(tables)
    exporter = replace(exporter, signatures=signatures)
    then = None if second is None else second.essentials()
    description = essentials(
        signatures, baking, network.count_params(), model.class_names, model.levels, model.fit, then
    )
    with storing(networks, baking) as is_changed, published(bundle) as folder:
        if is_changed:
            exporter = graph_exporter(signatures, baking)
        graphs = _write_graphs(folder, exporter, baking, description)
        if baking.litert:
            write_litert(folder, signatures, baking.graphs, _metadata(description))

        def predict(*inputs: np.ndarray) -> np.ndarray:
            return function(*map(tf.constant, inputs))["prediction"].numpy()

        def write_tensorflow(left_out: Sequence[str] = ()) -> None:
            if baking.saved_model:
                written = calling.with_tables(tables)
                write_saved_model(written, signatures, networks, folder / "saved_model", left_out)

        stage = second and reference_upscaler(second, description)
        reference = reference_of(description, predict, codec=signatures.codec, second=stage)
        certificate = _certified(folder, baking, description, reference, write_tensorflow)
        write_manifest(folder, description, graphs, certificate, training)
        _require_openable(folder)
    return certificate


def _certified(
    folder: Path,
    baking: Baking,
    description: Mapping[str, Any],
    reference: ReferenceSampler,
    write_tensorflow: Callable[..., None],
) -> Certificate:
    """Write the SavedModel, and prove all parity; without `encode` if it fails and is not asked."""
    write_tensorflow()
    try:
        return certify(folder, baking.graphs, description, reference)
    except ParityError as error:
        if error.form != "saved_model encode" or "encode" in baking.graphs:
            raise
        _LOG.warning(
            "The SavedModel has no encode: DDIM cannot be inverted reliably with this network "
            "(it differs from the reference by up to %.3f)",
            error.received,
        )
    write_tensorflow(left_out=("encode",))
    return certify(folder, baking.graphs, description, reference)


def _write_graphs(
    folder: Path, exporter: OnnxExporter, baking: Baking, description: Mapping[str, Any]
) -> dict[str, onnx.ModelProto]:
    """Make the graphs and write each to a sealed file; the graphs by name."""
    graphs = {name: exporter.graph(name) for name in baking.graphs}
    onnx.helper.set_model_props(graphs["sampler"], _metadata(description))
    if baking.precision == "float16":  # over the steps of two images
        seeds, model = np.array([0, 1], np.int64), exporter.signatures
        noise = reference_noise(seeds.tolist(), model.shape).astype(np.float32)
        labels = seeds % (model.sampling.denoiser.num_classes or 1)
        given = {each.name: each.examples(len(seeds)) for each in model.conditions}
        guidance = np.array(description["sampler"].get("default_guidance", 1), np.float32)
        tensors = {"noisy": noise, "seeds": seeds, "labels": labels, "guidance": guidance, **given}
        counts = [] if model.sampling.tables is None else model.sampling.tables.counts
        require_finite(exporter.graph("step"), tensors, counts)
    for name, graph in graphs.items():
        if baking.weight_storage == "float16":
            store_in_half(graph)
        (folder / f"{name}.onnx").write_bytes(sealed(graph.SerializeToString()))
    return graphs


def _metadata(description: Mapping[str, Any]) -> dict[str, str]:
    """What a sampler's file says of itself, so that every runtime can do without the manifest."""
    return {f"diffkiln.{name}": json.dumps(value) for name, value in description.items()}


def _require_openable(folder: Path) -> None:
    """Raise InputError for a bundle that the runtime would refuse."""
    try:
        open_all(folder)
    except InputError as error:
        reason = str(error).replace(f"{folder}{os.sep}", "").removesuffix(f"; {EXPORT_AGAIN}")
        raise InputError(
            f"network: the runtime would refuse its bundle, so nothing was written: {reason}"
        ) from error
