"""Trained runs that the tests of the trainer share."""

import os
from functools import partial
from pathlib import Path

import pytest
from conftest import MadeOnce
from train_flags import Refusal, refused

# Several processes train side by side.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refusal:
    """What diffkiln-train says of flags that it refuses."""
    return partial(refused, monkeypatch, capsys)


@pytest.fixture(scope="session")
def small_run(made_once: MadeOnce) -> Path:
    """A run directory of 20 small steps, each with a row and every other one saved, to be read."""
    # Only here, since some environments have no TensorFlow.
    from training_runs import SAVED, STEPS, train_here

    return made_once("small.run", lambda path: train_here(path, train_steps=STEPS, **SAVED))


@pytest.fixture(scope="session")
def autoencoder_run(made_once: MadeOnce) -> Path:
    """An autoencoder of 24 steps, to be read."""
    from latent_runs import autoencoder

    return made_once("autoencoder.run", autoencoder)


@pytest.fixture(scope="session")
def latent_run(made_once: MadeOnce, autoencoder_run: Path) -> Path:
    """A model of its latents with ten classes, of 16 steps, to be read."""
    from latent_runs import latent_model

    return made_once("latent.run", lambda path: latent_model(path, autoencoder_run))
