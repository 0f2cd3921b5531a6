"""Networks of all kinds, and bundles with more signatures, without loops, in half precision.

An export proves its own parity with the float64 reference; these tests look at what the certificate
does not, most of them at graphs alone.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from keras import layers
from small_models import (
    PIXELS,
    conditioned_network,
    run_function,
    run_onnx,
    run_saved_model,
    small_bundle,
    small_exporter,
    with_random_weights,
)

from diffkiln.export import export_bundle
from diffkiln.export.options import PRECISIONS
from diffkiln.runtime import Sampler
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.maths.schedules import ddpm_linear

pytestmark = pytest.mark.slow

SEEDS = np.array([3, 2**40], np.int64)


def manifest(bundle: Path) -> dict[str, Any]:
    return json.loads((bundle / "bundle.json").read_text())


@pytest.mark.parametrize(
    ("shape", "condition", "settings"),
    [
        ((4, 6, 1), (1,), {"conditioning": "noise_variance"}),
        ((5, 3, 4), (1, 1, 1), {"conditioning": "log_snr", "prediction": "velocity"}),
        ((4, 4, 2), (), {"conditioning": "noise_rate", "solver": "dpmpp_2m", "clip": False}),
        ((4, 4, 1), (), {"time_grid": "linspace", "solver": "dpmpp_2m"}),
        ((3, 3, 3), (), {"time_grid": "karras", "eta": 0.5, "image_dtype": "float32"}),
    ],
)
def test_any_shape_and_conditioning(
    tmp_path: Path, shape: tuple[int, int, int], condition: tuple[int, ...], settings: dict
) -> None:
    settings = {"pixel_mean": 0.5, "pixel_std": 0.25, "saved_model": False, **settings}
    settings["graphs"] = ("sampler", "denoiser")
    export_bundle(conditioned_network(shape, condition), tmp_path / "b", **settings)
    images = Sampler(tmp_path / "b", device="cpu").sample(2, steps=3)
    assert images.shape == (2, *shape)
    assert manifest(tmp_path / "b")["model"]["conditioning"] == settings.get("conditioning", "time")


def test_an_embedding_of_integer_timesteps() -> None:
    exporter = small_exporter(
        conditioned_network(dtype="int32"),
        schedule=ddpm_linear(),
        conditioning="timestep",
        time_grid="quadratic",
    )
    feeds = {"noisy": np.zeros((1, 4, 6, 3), np.float32), "time": np.array([0.25], np.float32)}
    _, noise = run_onnx(exporter.graph("denoiser"), **feeds)
    saved = run_function(exporter.signatures.denoise, **feeds)
    np.testing.assert_allclose(noise, saved["noise"], atol=1e-5)


def test_a_network_may_jump_between_times(tmp_path: Path) -> None:
    noisy, time = keras.Input((4, 4, 3)), keras.Input((1,))
    tenth = keras.ops.cast(time * 10, "int32")
    row = layers.Reshape((1, 1, 8))(layers.Embedding(11, 8)(tenth))
    x = layers.Conv2D(8, 3, padding="same")(noisy) + row
    network = with_random_weights(keras.Model([noisy, time], layers.Conv2D(3, 1)(x)))
    settings = {**PIXELS, "prediction": "velocity", "graphs": ("sampler",), "saved_model": False}
    certificate = export_bundle(network, tmp_path / "b", **settings)
    assert certificate.to_reference["sampler.onnx"].largest < 1.5 / 255


@pytest.fixture(scope="module")
def graphs() -> dict[str, onnx.ModelProto]:
    exporter = small_exporter(prediction="velocity")
    return {name: exporter.graph(name) for name in ("sampler", "inpaint", "trajectory")}


def test_inpainting_keeps_every_pixel_outside_the_mask(graphs: dict[str, onnx.ModelProto]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    mask = np.zeros((2, 8, 8, 1), np.uint8)
    mask[:, 2:5, 3:7] = 1
    feeds = {"images": images, "mask": mask, "seeds": SEEDS, "steps": np.array(5)}
    (painted,) = run_onnx(graphs["inpaint"], **feeds)
    kept = np.broadcast_to(mask == 0, images.shape)
    np.testing.assert_array_equal(painted[kept], images[kept])
    assert np.any(painted[~kept] != images[~kept])


def test_a_mask_of_everything_is_sampling(graphs: dict[str, onnx.ModelProto]) -> None:
    feeds = {"seeds": SEEDS, "steps": np.array(4)}
    images, mask = np.zeros((2, 8, 8, 3), np.uint8), np.ones((2, 8, 8, 1), np.uint8)
    (painted,) = run_onnx(graphs["inpaint"], images=images, mask=mask, **feeds)
    (sampled,) = run_onnx(graphs["sampler"], **feeds)
    assert np.abs(painted.astype(int) - sampled).max() <= 1


@pytest.mark.parametrize(("every", "count"), [(1, 7), (3, 3), (100, 1)])
def test_frames_end_with_the_finished_picture(
    graphs: dict[str, onnx.ModelProto], every: int, count: int
) -> None:
    feeds = {"seeds": SEEDS, "steps": np.array(7)}
    (frames,) = run_onnx(graphs["trajectory"], every=np.array(every), **feeds)
    (sampled,) = run_onnx(graphs["sampler"], **feeds)
    assert frames.shape == (count, 2, 8, 8, 3)
    np.testing.assert_array_equal(frames[-1], sampled)


def test_encoded_pictures_are_drawn_again(saved_bundle: Path) -> None:
    """With a network that was trained: encode, then from_noise, restores the model's pictures."""
    feeds = {"seeds": np.arange(4), "steps": np.array(50)}
    pictures = run_saved_model(saved_bundle, "serving_default", **feeds)["images"]
    steps = np.array(50)
    noise = run_saved_model(saved_bundle, "encode", images=pictures, steps=steps)["noise"]
    again = run_saved_model(saved_bundle, "from_noise", noise=noise, steps=steps)["images"]
    # 40 steps of training make a poor denoiser; docs/bundle.md has the error of a real one.
    assert np.abs(again.astype(int) - pictures).mean() < 16


def test_stochastic_sampling_is_reproducible_and_each_step_draws_new_noise() -> None:
    exporter = small_exporter(conditioned_network(), eta=1.0)
    (noise,) = run_onnx(exporter.graph("noise"), seeds=SEEDS)
    steps, from_noise = np.array(6), exporter.graph("from_noise")
    (sampled,) = run_onnx(exporter.graph("sampler"), seeds=SEEDS, steps=steps)
    (again,) = run_onnx(from_noise, noise=noise, steps=steps, seeds=SEEDS)
    (others,) = run_onnx(from_noise, noise=noise, steps=steps, seeds=SEEDS + 1)
    np.testing.assert_array_equal(again, sampled)
    assert np.any(others != sampled)
    names = [value.name for value in exporter.graph("step").graph.input]
    assert names == ["step", "steps", "noisy", "seeds"]


@pytest.mark.parametrize("settings", [{"eta": 0.7}, {"solver": "dpmpp_2m"}])
def test_stepwise_sampling_carries_what_the_solver_does(tmp_path: Path, settings: dict) -> None:
    graphs = ("sampler", "noise", "step")
    settings = {**settings, "graphs": graphs, "saved_model": False, **PIXELS}
    export_bundle(conditioned_network(), tmp_path / "b", **settings)
    sampler = Sampler(tmp_path / "b", device="cpu", max_batch=2)
    *_, (_, last) = sampler.stepwise(3, steps=5, seed=9)
    assert np.abs(last.astype(int) - sampler.sample(3, steps=5, seed=9)).max() <= 1


@pytest.mark.parametrize("batch", [None, 2])
def test_unrolled_graphs_have_no_control_flow(batch: int | None) -> None:
    exporter = small_exporter(unroll_steps=3, batch_size=batch)
    unrolled = {name: exporter.graph(name) for name in ("sampler", "from_noise")}
    for model in unrolled.values():
        assert not {node.op_type for node in model.graph.node} & {"Loop", "If", "Scan"}
    feeds = {"seeds": SEEDS, "steps": np.array(3)}
    (images,) = run_onnx(unrolled["sampler"], **feeds)
    (looped,) = run_onnx(replace(exporter, unroll_steps=None).graph("sampler"), **feeds)
    assert np.abs(images.astype(int) - looped).max() <= 1


def test_only_unrolled_graphs_have_a_fixed_batch(tmp_path: Path) -> None:
    graphs = ("sampler", "denoiser", "noise", "step")
    small_bundle(tmp_path / "b", unroll_steps=2, batch_size=3, graphs=graphs)
    with Sampler(tmp_path / "b", device="cpu") as sampler:
        images = sampler.sample(3, steps=2)
        *_, (_, stepped) = sampler.stepwise(2, steps=2)
    assert np.abs(stepped.astype(int) - images[:2]).max() <= 1


def test_an_unrolled_graph_refuses_other_step_counts(tmp_path: Path) -> None:
    small_bundle(tmp_path / "b", unroll_steps=2)
    with pytest.raises(Exception, match="expects_steps_of_2"):
        run_onnx(tmp_path / "b" / "sampler.onnx", seeds=SEEDS, steps=np.array(3))
    with pytest.raises(ValueError, match="steps=3: this bundle is unrolled for 2 steps only"):
        Sampler(tmp_path / "b", device="cpu").sample(1, steps=3)


def test_half_precision_halves_the_weights_and_nothing_else() -> None:
    full, half = (small_exporter(precision=precision).graph("denoiser") for precision in PRECISIONS)
    assert list(full.graph.input) == list(half.graph.input)
    assert list(full.graph.output) == list(half.graph.output)
    weights = [
        sum(onnx.numpy_helper.to_array(v).nbytes for v in model.graph.initializer)
        for model in (full, half)
    ]
    assert weights[1] < 0.6 * weights[0]
    kernels = {node.input[1] for node in half.graph.node if node.op_type == "Conv"}
    types = {v.name: v.data_type for v in half.graph.initializer}
    assert onnx.TensorProto.FLOAT16 in {types.get(name) for name in kernels}


def test_half_precision_with_a_solver_that_divides_by_nothing_at_first(tmp_path: Path) -> None:
    small_bundle(tmp_path / "b", precision="float16", solver="dpmpp_2m")
    assert Sampler(tmp_path / "b", device="cpu").sample(1, steps=3).any()


def test_an_overflow_in_half_precision_is_refused_by_name(tmp_path: Path) -> None:
    noisy, time = keras.Input((4, 4, 3)), keras.Input(())
    huge = layers.Conv2D(8, 1, name="huge")
    output = layers.Conv2D(3, 1)(keras.ops.tanh(huge(noisy)))
    model = with_random_weights(keras.Model([noisy, time], output))
    huge.set_weights([weights * 3e5 for weights in huge.get_weights()])
    with pytest.raises(InputError, match=r"precision=float16: .*huge.* leaves the range"):
        export_bundle(model, tmp_path / "b", precision="float16", graphs=("sampler",), **PIXELS)
    assert not list(tmp_path.iterdir())


def test_half_precision_that_is_too_coarse_says_so(tmp_path: Path) -> None:
    """Where all is taken for noise, x̂_0 at t = 1 is the rounding of half precision, 157 times."""
    noisy, time = keras.Input((8, 8, 3)), keras.Input(())
    same = layers.Conv2D(3, 1, use_bias=False)
    model = keras.Model([noisy, time], same(noisy))
    same.set_weights([np.eye(3, dtype=np.float32)[None, None]])
    settings = {**PIXELS, "schedule": ddpm_linear(), "precision": "float16", "graphs": ("sampler",)}
    settings["saved_model"] = False
    with pytest.raises(InputError, match=r"Half precision is too coarse .* precision=float32"):
        export_bundle(model, tmp_path / "b", **settings)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"solver": "euler"}, "solver=euler: expected one of ddim, dpmpp_2m"),
        ({"eta": 1.5}, "eta=1.5: expected a number from 0"),
        ({"eta": 0.5, "solver": "dpmpp_2m"}, "eta=0.5: dpmpp_2m draws no fresh noise"),
        ({"time_grid": "cubic"}, "time_grid=cubic: expected one of linear"),
        ({"conditioning": "timestep"}, "conditioning=timestep: the cosine schedule"),
        ({"conditioning": "beta"}, "conditioning=beta: expected one of time"),
        ({"precision": "int8"}, "precision=int8: expected one of float32, float16"),
        ({"graphs": ("sampler", "encode"), "eta": 1.0}, "graphs=encode: only deterministic DDIM"),
        ({"unroll_steps": 0}, "unroll_steps=0: expected a whole number from 1 to"),
        ({"batch_size": 4}, "batch_size=4: .*add unroll_steps"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    tmp_path: Path, settings: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        export_bundle(conditioned_network(), tmp_path / "b", **PIXELS, **settings)
    assert not list(tmp_path.iterdir())
