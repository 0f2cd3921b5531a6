"""Autoencoders and models of their latents: what is learned, resumed, drawn, exported."""

import math
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from latent_runs import AUTOENCODER, autoencoder, latent_model, of
from PIL import Image
from small_models import run_onnx
from training_runs import rows, same_weights

from diffkiln.export.run import export_run
from diffkiln.runtime import Sampler
from diffkiln.trainer.config import TrainConfig
from diffkiln.trainer.data.load import load_images
from diffkiln.trainer.describe import describe
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.network.networks import build_network
from diffkiln.trainer.presets import preset_config
from diffkiln.trainer.run.autoencoder import read_autoencoder
from diffkiln.trainer.run.codec import Codec
from diffkiln.trainer.run.directory import RunDirectory
from diffkiln.trainer.run.lineage import training_record
from diffkiln.trainer.run.teacher import read_teacher
from diffkiln.trainer.run.weights import initial_weights, load_network
from diffkiln.trainer.training.autoencoder import KL_WEIGHT, AutoencoderTrainer

pytestmark = pytest.mark.slow


def columns(run_dir: Path, *names: str) -> list[list[str]]:
    return [[row[name] for name in names] for row in rows(run_dir)]


def test_the_losses_of_an_autoencoder_fall(autoencoder_run: Path) -> None:
    first, *_, last = rows(autoencoder_run)
    for name in ("loss", "eval_loss", "absolute_error"):
        # They fell by a third; random weights differ.
        assert float(last[name]) < 0.9 * float(first[name])


def test_the_loss_is_the_sum_of_its_parts(autoencoder_run: Path) -> None:
    row = {name: float(value) for name, value in rows(autoencoder_run)[-1].items()}
    # A latent has a quarter of a picture's pixels, and as many channels.
    parts = row["absolute_error"] + KL_WEIGHT / 4 * row["kl_divergence"]
    assert row["loss"] == pytest.approx(parts, rel=1e-9)
    assert row["kl_divergence"] > 0
    assert math.isnan(row["loss_t0.0-0.2"])


def test_an_autoencoder_goes_on_to_the_same_weights(tmp_path: Path, autoencoder_run: Path) -> None:
    for steps in (8, 24):
        autoencoder(tmp_path, train_steps=steps)
    same_weights(autoencoder_run, tmp_path)
    names = ("step", "loss", "eval_loss", "kl_divergence", "psnr_db", "ssim")
    assert columns(autoencoder_run, *names)[2:] == columns(tmp_path, *names)[2:]


def test_its_preview_has_originals_over_reconstructions(autoencoder_run: Path) -> None:
    with Image.open(autoencoder_run / "samples" / "step-0000024.png") as grid:
        assert grid.size == (8 * 16, 4 * 16)


def test_an_autoencoder_in_parts_and_in_half_precision() -> None:
    other: dict[str, Any] = {"accumulation_steps": 2, "precision": "mixed_bfloat16"}
    configs = (preset_config("autoencoder", **{**AUTOENCODER, **each}) for each in ({}, other))
    whole, in_half_parts = map(_loss_of_a_step, configs)
    assert in_half_parts == pytest.approx(whole, rel=0.05)  # numbers of three digits


def _loss_of_a_step(config: TrainConfig) -> float:
    images = load_images(config)
    keras.utils.set_random_seed(0)
    trainer = AutoencoderTrainer(config, images.summary())
    trainer.train(*next(trainer.batches(images.train, first_step=0, shard=(0, 1))))
    return trainer.metrics.take()["loss"]


def test_a_latent_model_resumes_without_the_autoencoder(
    tmp_path: Path, autoencoder_run: Path, latent_run: Path
) -> None:
    autoencoder_copy = shutil.copytree(autoencoder_run, tmp_path / "autoencoder")
    latent_model(tmp_path / "run", autoencoder_copy, train_steps=8)
    shutil.rmtree(autoencoder_copy)
    assert "would go on from step-8" in describe(tmp_path / "run", of(tmp_path / "run", Path("no")))
    latent_model(tmp_path / "run", autoencoder_copy)
    same_weights(latent_run, tmp_path / "run")
    names = ("step", "loss", "eval_loss")
    assert columns(latent_run, *names)[2:] == columns(tmp_path / "run", *names)[2:]
    assert float(rows(latent_run)[-1]["eval_loss"]) > 0


def test_its_previews_are_pictures(latent_run: Path) -> None:
    with Image.open(latent_run / "samples" / "step-0000016.png") as grid:
        assert (grid.size, grid.mode) == ((4 * 16, 4 * 16), "RGB")


def test_its_record_has_the_shape_and_the_statistics_of_latents(
    latent_run: Path, autoencoder_run: Path
) -> None:
    config, data = RunDirectory(latent_run).read_config()
    assert (config.array_shape, config.image_size, config.channels) == ((8, 8, 3), 16, 3)
    assert len(data.pixel_mean) == len(data.pixel_std) == 3
    same_weights(autoencoder_run, latent_run / "autoencoder")
    record = training_record(RunDirectory(latent_run))
    assert record["autoencoder"] == training_record(RunDirectory(autoencoder_run))
    assert "latents" not in record["settings"]


def test_the_description_of_both(tmp_path: Path, autoencoder_run: Path) -> None:
    of_pictures = preset_config("autoencoder", **AUTOENCODER)
    assert "autoencoder, 16×16×3 to 8×8×3" in describe(tmp_path / "new", of_pictures)
    text = describe(tmp_path / "new", of(tmp_path / "new", autoencoder_run))
    assert f"8×8×3, of the autoencoder {autoencoder_run}" in text
    assert "would begin" in text


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, latent_run: Path) -> Path:
    """Exported after its autoencoder has gone."""
    folder = tmp_path_factory.mktemp("latents")
    moved = shutil.copytree(latent_run, folder / "run")
    graphs = ("sampler", "encode", "inpaint")
    export_run(moved, folder / "b", graphs=graphs)
    return folder / "b"


def test_the_bundle_draws_and_paints_pictures(bundle: Path) -> None:
    with Sampler(bundle, device="cpu") as sampler:
        images = sampler.sample(2, steps=3, guidance=2.0, labels=[0, 9])
        mask = np.zeros((16, 16), np.uint8)
        mask[:, 8:] = 1
        painted = sampler.inpaint(images, mask, seed=5, steps=3)
        noise = sampler.encode(images, steps=3)
    assert (images.shape, images.dtype, noise.shape) == ((2, 16, 16, 3), np.uint8, (2, 8, 8, 3))
    np.testing.assert_array_equal(painted[:, :, :8], images[:, :, :8])


def test_the_bundle_decodes_as_the_autoencoder_does(bundle: Path, autoencoder_run: Path) -> None:
    codec = Codec(read_autoencoder(autoencoder_run, RunDirectory(Path("no"))))
    latents = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    (images,) = run_onnx(bundle / "decoder.onnx", latents=latents)
    # Rounding may fall to either side of a level.
    assert np.abs(images.astype(int) - codec.decode(tf.constant(latents)).numpy()).max() <= 1
    (encoded,) = run_onnx(bundle / "encoder.onnx", images=images)
    # Sums in another order.
    np.testing.assert_allclose(encoded, codec.encode(images), atol=1e-4)


def test_an_autoencoder_alone_is_not_exported(tmp_path: Path, autoencoder_run: Path) -> None:
    with pytest.raises(InputError, match=r"draws nothing by itself; train .* --latents="):
        export_run(autoencoder_run, tmp_path / "b")


def test_only_an_autoencoder_makes_latents(latent_run: Path) -> None:
    with pytest.raises(InputError, match="its task is generation, expected autoencoder; train"):
        read_autoencoder(latent_run, RunDirectory(Path("no")))


def test_a_start_that_was_killed_may_begin_again(tmp_path: Path) -> None:
    (tmp_path / "autoencoder").mkdir()
    assert RunDirectory(tmp_path).is_new


def test_an_autoencoder_begins_with_the_weights_of_another(autoencoder_run: Path) -> None:
    config = preset_config("autoencoder", **{**AUTOENCODER, "image_size": 32})
    network = build_network(config.network)
    given = initial_weights(autoencoder_run, config, network)
    theirs = load_network(autoencoder_run / "ema.weights.h5", config.network).get_weights()
    assert all(np.array_equal(*pair) for pair in zip(given, theirs, strict=True))
    drawing = preset_config("tiny")
    with pytest.raises(InputError, match="its task is autoencoder, expected generation"):
        initial_weights(autoencoder_run, drawing, network)


def test_a_latent_model_is_no_teacher(latent_run: Path, bundle: Path) -> None:
    for source in (latent_run, bundle):
        with pytest.raises(InputError, match="draws latents, and only networks that draw pictures"):
            read_teacher(source)


def test_a_latent_model_begins_with_the_weights_of_a_bundle(latent_run: Path, bundle: Path) -> None:
    config = RunDirectory(latent_run).read_config()[0]
    network = load_network(latent_run / "ema.weights.h5", config.network)
    given = initial_weights(bundle, config, build_network(config.network))
    assert all(np.array_equal(*pair) for pair in zip(given, network.get_weights(), strict=True))


@pytest.mark.parametrize("steps", [1, 16])
def test_what_needs_no_latents_is_refused_before_they_are_made(
    tmp_path: Path,
    autoencoder_run: Path,
    latent_run: Path,
    capsys: pytest.CaptureFixture[str],
    steps: int,
) -> None:
    run_dir, settings = tmp_path / "r", {"init_from": str(autoencoder_run)}
    words = "its task is autoencoder, expected generation"
    if steps == 1:
        run_dir, settings = shutil.copytree(latent_run, run_dir), {}
        words = "the run is at step 16 already"
    with pytest.raises(InputError, match=words):
        latent_model(run_dir, autoencoder_run, train_steps=steps, **settings)
    assert "Encoding" not in capsys.readouterr().out
