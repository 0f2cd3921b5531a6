"""Bundles with learned tables: every form of them draws what the float64 reference says."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import (
    PIXELS,
    conditioned_network,
    run_function,
    run_onnx,
    small_exporter,
    with_random_weights,
)
from small_tables import random_tables, write_tables

from diffkiln.export import export_bundle
from diffkiln.export.graphs.graph import runner, step_outputs
from diffkiln.export.manifest import essentials
from diffkiln.export.options import settings_as_objects
from diffkiln.export.proof.reference import reference_of
from diffkiln.export.proof.reference_guidance import ReferenceConditioning
from diffkiln.export.verify import verify_bundle
from diffkiln.runtime import Sampler
from diffkiln.trainer.config import NetworkConfig
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.maths.schedules import ddpm_cosine, ddpm_linear
from diffkiln.trainer.network.unet import build_unet

NAMES = ("rose", "lily", "aster")
ALL = ("sampler", "from_noise", "denoiser", "noise", "step", "trajectory", "inpaint")


def class_network() -> Any:
    shape = NetworkConfig(8, (16,), 1, 2, num_classes=len(NAMES))
    return with_random_weights(build_unet(shape))


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"prediction": "velocity", "solver": "dpmpp_2m"},
        {"prediction": "noise", "clip": False, "image_dtype": "float32", "unroll_steps": 5},
    ],
)
def test_a_bundle_with_tables_is_proved_and_verified(tmp_path: Path, settings: dict) -> None:
    network, bundle = class_network(), tmp_path / "b"
    settings = {**PIXELS, **settings, "class_names": NAMES, "graphs": ALL}
    tables = random_tables(2, 5, guidance=(1.0, 4.0))
    file = write_tables(tmp_path / "tables.json", network, tables, **settings)
    certificate = export_bundle(network, bundle, **settings, tables=file)
    assert set(certificate.steps) == {1, 2, 5, 20}
    forms = {f"{name}.onnx" for name in ALL if name != "noise"}
    assert forms <= set(certificate.to_reference)
    manifest = json.loads((bundle / "bundle.json").read_text())
    assert manifest["format_version"] == 2
    assert manifest["sampler"]["tables"] == tables.to_json()
    assert manifest["sampler"]["default_steps"] == 5
    assert verify_bundle(bundle).to_reference.keys() == certificate.to_reference.keys()
    sampler = Sampler(bundle, device="cpu")
    *_, (_, last) = sampler.stepwise(2, steps=5, seed=9, guidance=2.0)
    apart = np.abs(last.astype(float) - sampler.sample(2, seed=9, guidance=2.0))
    assert apart.max() <= (1 if last.dtype == np.uint8 else 1e-4)


@pytest.mark.parametrize(
    ("condition", "settings"),
    [
        ({"condition": (1,)}, {"conditioning": "noise_variance", "prediction": "velocity"}),
        ({"condition": (1, 1, 1)}, {"conditioning": "log_snr", "prediction": "image"}),
        ({}, {"conditioning": "noise_rate", "schedule": ddpm_cosine(), "prediction": "velocity"}),
        ({"dtype": "int32"}, {"conditioning": "timestep", "schedule": ddpm_linear()}),
    ],
)
def test_any_prediction_conditioning_and_schedule(condition: dict, settings: dict) -> None:
    network = conditioned_network(**condition)
    settings = {**PIXELS, **settings, "image_dtype": "float32", "solver": "dpmpp_2m"}
    discrete = 1000 if "schedule" in settings else None
    exporter = small_exporter(network, tables=random_tables(4, timesteps=discrete), **settings)
    model, baking = settings_as_objects(**settings)
    signatures = exporter.signatures
    description = essentials(signatures, baking, 0)
    reference = reference_of(
        description,
        lambda *inputs: run_function(
            signatures.network, **dict(zip(("noisy", "condition"), inputs, strict=True))
        )["prediction"],
    )
    noise = np.random.default_rng(0).normal(size=(2, 4, 6, 3))
    tensors = {"noise": noise.astype(np.float32), "steps": np.array(4)}
    (drawn,) = run_onnx(exporter.graph("from_noise"), **tensors)
    np.testing.assert_allclose(drawn, reference.from_noise(noise, 4), atol=1e-3)
    assert model.conditioning == settings["conditioning"]


def test_step_carries_one_more_image_and_the_denoiser_is_told_a_time() -> None:
    tables = random_tables(3, guidance=(1.0, 4.0))
    for solver in ("ddim", "dpmpp_2m"):
        exporter = small_exporter(class_network(), tables=tables, class_names=NAMES, solver=solver)
        step = [value.name for value in exporter.graph("step").graph.input]
        images = ["noisy", "previous_image", "earlier_image"]
        assert step == ["step", "steps", *images, "labels", "guidance"]
    denoiser = [value.name for value in exporter.graph("denoiser").graph.input]
    assert denoiser == ["noisy", "time", "network_time", "labels", "guidance"]


def test_guidance_outside_of_its_range_is_the_solvers() -> None:
    settings: dict[str, Any] = {"class_names": NAMES, "solver": "dpmpp_2m"}
    plain = small_exporter(class_network(), **settings).graph("from_noise")
    tables = random_tables(3, guidance=(1.0, 4.0))
    learned = small_exporter(class_network(), tables=tables, **settings).graph("from_noise")
    noise = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    for guidance, same in ((0.0, True), (0.99, True), (1.0, False), (4.0, False), (4.1, True)):
        tensors = {"noise": noise, "steps": np.array(3), "labels": np.array([0, 2])}
        tensors["guidance"] = np.array(guidance, np.float32)
        first, second = (run_onnx(graph, **tensors)[0] for graph in (plain, learned))
        assert np.array_equal(first, second) == same


def test_inpainting_keeps_what_it_must() -> None:
    exporter = small_exporter(tables=random_tables(3))
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    mask = np.zeros((2, 8, 8, 1), np.uint8)
    mask[:, 2:5, 3:7] = 1
    feeds = {"images": images, "mask": mask, "seeds": np.array([3, 4]), "steps": np.array(3)}
    (painted,) = run_onnx(exporter.graph("inpaint"), **feeds)
    kept = np.broadcast_to(mask == 0, images.shape)
    np.testing.assert_array_equal(painted[kept], images[kept])


def test_steps_after_the_last_of_a_table_are_the_solvers() -> None:
    """A step's place is within the table, however many steps the host asks for."""
    exporter = small_exporter(tables=random_tables(2), solver="dpmpp_2m", image_dtype="float32")
    noise = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32)
    tensors = {"noisy": noise, "steps": np.array(9)}
    step = runner(exporter.graph("step").SerializeToString())
    *_, last = step_outputs(step, tensors)
    plain = small_exporter(solver="dpmpp_2m", image_dtype="float32").graph("from_noise")
    (expected,) = run_onnx(plain, noise=noise, steps=np.array(9))
    np.testing.assert_allclose(last["images"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"eta": 0.5}, "eta=0.5: a table has no place for fresh noise"),
        (
            {"graphs": ("sampler", "encode")},
            "graphs=sampler,encode: the steps of a table cannot be",
        ),
    ],
)
def test_settings_that_exclude_tables(settings: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        settings_as_objects(**PIXELS, tables="tables.json", **settings)


def test_the_reference_of_guidance_is_the_graphs() -> None:
    settings: dict[str, Any] = {"class_names": NAMES, "image_dtype": "float32"}
    exporter = small_exporter(
        class_network(), tables=random_tables(5, guidance=(1.0, 4.0)), **settings
    )
    _, baking = settings_as_objects(**PIXELS, **settings)
    network = exporter.signatures.network

    def predict(*inputs: np.ndarray) -> np.ndarray:
        names = ("noisy", "condition", "labels")
        return run_function(network, **dict(zip(names, inputs, strict=True)))["prediction"]

    description = essentials(exporter.signatures, baking, 0, NAMES)
    reference = reference_of(description, predict)
    graph, noise = exporter.graph("from_noise"), np.random.default_rng(0).normal(size=(2, 8, 8, 3))
    for guidance in (1.0, 1.7, 4.0):
        tensors = {"noise": noise.astype(np.float32), "steps": np.array(5)}
        tensors |= {"labels": np.array([0, 2]), "guidance": np.array(guidance, np.float32)}
        (drawn,) = run_onnx(graph, **tensors)
        labels, none = {"labels": np.array([0, 2])}, {"labels": np.array([-1, -1])}
        conditioned = replace(reference, given=ReferenceConditioning(labels, none, guidance))
        np.testing.assert_allclose(drawn, conditioned.from_noise(noise, 5), atol=1e-3)
