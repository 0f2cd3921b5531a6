"""Dropout in a run: the same in each attempt, and in training alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from conftest import Command
from training_runs import same_weights, small_config, train_here, weights

from diffkiln.trainer.run.directory import DataSummary
from diffkiln.trainer.training.step import Trainer

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {"widths": (8,), "dropout": 0.5, "checkpoint_every_steps": 2}


def test_a_run_that_goes_on_drops_what_it_would_have(tmp_path: Path) -> None:
    unbroken, broken, without = (tmp_path / name for name in ("unbroken", "broken", "without"))
    train_here(unbroken, train_steps=4, **SETTINGS)
    for steps in (2, 4):
        train_here(broken, train_steps=steps, **SETTINGS)
    same_weights(broken, unbroken)
    plain: dict[str, Any] = {**SETTINGS, "dropout": 0.0}
    train_here(without, train_steps=4, **plain)
    ours, theirs = weights(unbroken), weights(without)
    assert any((ours[name] != theirs[name]).any() for name in theirs)


def test_nothing_is_dropped_on_held_out_pictures() -> None:
    data = DataSummary("", 8, 8, (0.5,) * 3, (0.25,) * 3)
    images = tf.cast(tf.reshape(tf.range(8 * 16 * 16 * 3) % 251, (8, 16, 16, 3)), tf.uint8)
    labels, number = tf.fill([8], tf.constant(-1, tf.int64)), tf.constant(0, tf.int64)
    evaluated, trained = [], []
    values: list[np.ndarray] = []
    for rate in (0.0, 0.5):
        trainer = Trainer(small_config(dropout=rate), data)
        generator = np.random.default_rng(0)
        values = values or [
            0.1 * generator.standard_normal(each.shape, np.float32)
            for each in trainer.average.weights
        ]
        trainer.begin_with(values)
        evaluated.append(float(trainer.evaluate(images, labels, number)))
        trainer.train(images, labels)
        trained.append(trainer.metrics.take()["loss"])
    assert evaluated[0] == evaluated[1]
    assert trained[0] != trained[1]


def test_an_export_has_no_trace_of_it(command: Command, tmp_path: Path, small_run: Path) -> None:
    run_dir = shutil.copytree(small_run, tmp_path / "r")
    config = json.loads((run_dir / "config.json").read_text())
    config["settings"]["dropout"] = 0.5
    (run_dir / "config.json").write_text(json.dumps(config))
    graphs = []
    for source in (small_run, run_dir):
        bundle = tmp_path / f"{source.name}.bundle"
        flags = (f"--run_dir={source}", f"--bundle={bundle}", "--graphs=sampler")
        result = command("diffkiln-export", *flags, "--nosaved_model")
        assert result.returncode == 0, result.stderr
        graphs.append((bundle / "sampler.onnx").read_bytes())
    assert graphs[0] == graphs[1]
