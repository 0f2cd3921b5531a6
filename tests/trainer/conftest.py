"""A trained run that the tests of the trainer share."""

import os
from pathlib import Path

import pytest
from conftest import MadeOnce

# Several processes train side by side.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")


@pytest.fixture(scope="session")
def small_run(made_once: MadeOnce) -> Path:
    """A run directory of 20 small steps, each with a row and every other one saved, to be read."""
    # Only here, since some environments have no TensorFlow.
    from training_runs import SAVED, STEPS, train_here

    return made_once("small.run", lambda path: train_here(path, train_steps=STEPS, **SAVED))
