"""TensorFlow, ONNX and the float64 reference give the same pictures."""

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto
from small_models import (
    PIXELS,
    run_function,
    run_onnx,
    small_exporter,
    small_network,
)

from diffkiln.export.graphs.assemble import OnnxExporter
from diffkiln.export.options import GRAPHS
from diffkiln.export.proof.certify import tolerances
from diffkiln.export.proof.reference import ReferenceSampler
from diffkiln.export.proof.reference_noise import reference_noise
from diffkiln.trainer.maths.schedules import CosineSchedule, Schedule, ddpm_cosine, ddpm_linear

pytestmark = pytest.mark.slow

SEEDS = np.array([0, 7, 2**40], np.int64)


@pytest.fixture(scope="module")
def exporter() -> OnnxExporter:
    return small_exporter(prediction="velocity", image_dtype="float32")


@pytest.fixture(scope="module")
def graphs(exporter: OnnxExporter) -> dict[str, ModelProto]:
    return {name: exporter.graph(name) for name in GRAPHS}


@pytest.fixture(scope="module")
def functions(exporter: OnnxExporter) -> dict[str, Any]:
    """What the SavedModel holds."""
    signatures = exporter.signatures
    loops = {name: process.function for name, process in signatures.processes().items()}
    return {**loops, "denoiser": signatures.denoise}


@pytest.fixture(scope="module")
def reference() -> ReferenceSampler:
    return reference_of(CosineSchedule(), "velocity")


def reference_of(schedule: Schedule, prediction: str) -> ReferenceSampler:
    network = small_network()
    return ReferenceSampler(
        lambda noisy, time: network([noisy, time]).numpy(),
        schedule.describe(),
        prediction,
        *PIXELS.values(),
        clip=True,
    )


def tolerance(reference: ReferenceSampler, dtype: str) -> float:
    model = {"precision": "float32", "prediction": reference.prediction}
    return tolerances(reference, {"model": model, "image": {"dtype": dtype}})[0]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("steps", [1, 2, 20])
def test_samplers_agree(
    graphs: dict[str, ModelProto],
    functions: dict[str, Any],
    reference: ReferenceSampler,
    batch: int,
    steps: int,
) -> None:
    feeds = {"seeds": SEEDS[:batch], "steps": np.array(steps, np.int64)}
    (onnx,) = run_onnx(graphs["sampler"], **feeds)
    saved = run_function(functions["sampler"], **feeds)["images"]
    noise = reference_noise(SEEDS[:batch].tolist(), (8, 8, 3))
    assert onnx.shape == (batch, 8, 8, 3)
    # Float32 networks of two kernels; the first step magnifies their differences by up to 50.
    np.testing.assert_allclose(onnx, saved, atol=1e-4)
    np.testing.assert_allclose(onnx, reference.from_noise(noise, steps), atol=1e-4)


def test_from_noise_is_the_sampler_after_its_noise(
    graphs: dict[str, ModelProto], functions: dict[str, Any]
) -> None:
    steps = np.array(4, np.int64)
    (noise,) = run_onnx(graphs["noise"], seeds=SEEDS)
    (from_noise,) = run_onnx(graphs["from_noise"], noise=noise, steps=steps)
    (sampled,) = run_onnx(graphs["sampler"], seeds=SEEDS, steps=steps)
    saved = run_function(functions["from_noise"], noise=noise, steps=steps)["images"]
    np.testing.assert_array_equal(from_noise, sampled)
    np.testing.assert_allclose(from_noise, saved, atol=1e-4)


def test_denoisers_agree_at_each_images_own_time(
    graphs: dict[str, ModelProto], functions: dict[str, Any], reference: ReferenceSampler
) -> None:
    noisy = reference_noise([1, 2, 3], (8, 8, 3)).astype(np.float32)
    time = np.array([0, 0.4, 1], np.float32)
    image, noise = run_onnx(graphs["denoiser"], noisy=noisy, time=time)
    saved = run_function(functions["denoiser"], noisy=noisy, time=time)
    np.testing.assert_allclose(image, saved["image"], atol=1e-4)
    np.testing.assert_allclose(noise, saved["noise"], atol=1e-4)
    for index in range(3):
        expected = reference.denoise(noisy[index : index + 1], float(time[index]))[:2]
        np.testing.assert_allclose(
            (image[index], noise[index]), [e[0] for e in expected], atol=1e-4
        )


def test_steps_driven_by_the_host_are_the_loop(graphs: dict[str, ModelProto]) -> None:
    steps = np.array(5, np.int64)
    (noisy,) = run_onnx(graphs["noise"], seeds=SEEDS)
    images = noisy
    for step in range(5):
        feeds = {"step": np.array(step, np.int64), "steps": steps, "noisy": noisy}
        noisy, images = run_onnx(graphs["step"], **feeds)
    (sampled,) = run_onnx(graphs["sampler"], seeds=SEEDS, steps=steps)
    np.testing.assert_array_equal(images, sampled)


@pytest.mark.parametrize(
    ("schedule", "prediction", "largest"),
    [
        (ddpm_linear(), "noise", 1e-3),
        (ddpm_linear(), "image", 1e-4),
        (ddpm_cosine(), "image", 1e-4),
        # noise/signal is 20,000 at n = 1000, and float32 keeps 24 bits.
        (ddpm_cosine(), "noise", 6e-3),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_discrete_schedules_agree(schedule: Schedule, prediction: str, largest: float) -> None:
    exporter = small_exporter(schedule=schedule, prediction=prediction, image_dtype="float32")
    feeds = {"seeds": SEEDS, "steps": np.array(7, np.int64)}
    (onnx,) = run_onnx(exporter.graph("sampler"), **feeds)
    saved = run_function(exporter.signatures.sampler.function, **feeds)["images"]
    reference = reference_of(schedule, prediction)
    expected = reference.from_noise(reference_noise(SEEDS.tolist(), (8, 8, 3)), 7)
    np.testing.assert_allclose(onnx, expected, atol=largest)
    np.testing.assert_allclose(saved, expected, atol=largest)


def test_tolerance_widens_only_where_noise_prediction_magnifies() -> None:
    assert tolerance(reference_of(CosineSchedule(), "noise"), "uint8") == 1 / 255
    assert tolerance(reference_of(ddpm_cosine(), "velocity"), "uint8") == 1 / 255
    # noise/signal is 20,000 at the end of ddpm_cosine: 0.006, one and a half levels.
    assert tolerance(reference_of(ddpm_cosine(), "noise"), "uint8") == 2 / 255
    assert tolerance(reference_of(ddpm_cosine(), "noise"), "float32") == pytest.approx(
        0.006, rel=0.1
    )


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_an_image_does_not_depend_on_its_batch(eta: float) -> None:
    sampler = small_exporter(prediction="velocity", eta=eta).graph("sampler")
    steps = np.array(20, np.int64)
    seeds = np.array([0, 7, 2**40, 2**62, 5, 12345, 2**31, 2**32 + 1], np.int64)
    (together,) = run_onnx(sampler, seeds=seeds, steps=steps)
    (reversed_order,) = run_onnx(sampler, seeds=seeds[::-1].copy(), steps=steps)
    np.testing.assert_array_equal(reversed_order[::-1], together)
    for index, seed in enumerate(seeds):
        (alone,) = run_onnx(sampler, seeds=np.array([seed]), steps=steps)
        # onnxruntime's kernels add up in another order for another number of images.
        differences = np.abs(alone[0].astype(int) - together[index])
        assert differences.max() <= 1
        assert np.mean(differences > 0) < 0.01
