"""A run that fails saves its last whole step first; data that changed does not end it for good."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from pictures import save_pictures
from training_runs import same_weights, start, train_here, wait_for_rows

from diffkiln.trainer.errors import InputError
from diffkiln.trainer.run.directory import RunDirectory

pytestmark = pytest.mark.slow

NEVER = 10**6


def test_pictures_that_vanish_cost_no_step(tmp_path: Path) -> None:
    run_dir, photos, away = (tmp_path / name for name in ("r", "photos", "away"))
    save_pictures(photos, 20, size=16)
    flags = (f"--train_steps={NEVER}", f"--checkpoint_every_steps={NEVER}", "--log_every_steps=1")
    process = start(run_dir, f"--data=folder:{photos}", "--cache=none", *flags)
    wait_for_rows(run_dir, 3)
    photos.rename(away)
    output, errors = process.communicate(timeout=120)
    (step,) = RunDirectory(run_dir).checkpoint_steps()
    assert process.returncode == 1
    assert f"Stopped by an error at step {step:,}, which is saved." in output
    assert "none can be read" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    away.rename(photos)
    settings: dict[str, Any] = {"data": f"folder:{photos}", "checkpoint_every_steps": NEVER}
    for folder in (run_dir, tmp_path / "alone"):
        train_here(folder, train_steps=step + 2, **settings)
    same_weights(run_dir, tmp_path / "alone")


def test_an_error_of_tensorflow_costs_no_step(tmp_path: Path) -> None:
    run_dir = tmp_path / "r"
    settings: dict[str, Any] = {"num_classes": 10, "cache": "disk", "log_every_steps": 1}
    train_here(tmp_path / "alone", train_steps=6, **settings)
    shutil.copytree(tmp_path / "alone" / "cache", run_dir / "cache")
    (record,) = (run_dir / "cache").glob("*.json")
    whole = record.read_text()
    content = json.loads(whole)
    content["labels"][20] = 999  # in none of the first steps; there is no such row in the table
    record.write_text(json.dumps(content))
    with pytest.raises(tf.errors.InvalidArgumentError):
        train_here(run_dir, train_steps=6, **settings)
    (step,) = RunDirectory(run_dir).checkpoint_steps()
    assert 0 < step < 6
    record.write_text(whole)
    # The fingerprint follows from the pixels and the labels.
    train_here(run_dir, train_steps=6, allow_data_change=True, **settings)
    same_weights(run_dir, tmp_path / "alone")


class TestDataChange:
    def test_is_refused_with_its_remedy_and_recorded(self, tmp_path: Path) -> None:
        run_dir = tmp_path / "r"
        settings: dict[str, Any] = {"data": f"folder:{tmp_path / 'photos'}"}
        save_pictures(tmp_path / "photos", 20, size=16)
        train_here(run_dir, train_steps=1, **settings)
        before = json.loads((run_dir / "config.json").read_text())["data"]
        (tmp_path / "photos" / "00003.png").unlink()
        with pytest.raises(InputError, match=r"20 images.* not 19.* --allow_data_change"):
            train_here(run_dir, train_steps=2, **settings)
        train_here(run_dir, train_steps=2, allow_data_change=True, **settings)
        content = json.loads((run_dir / "config.json").read_text())
        counts = {name: before[name] for name in ("fingerprint", "images", "eval_images")}
        assert content["data_before"] == [counts]
        assert content["data"] == {
            **before,
            "fingerprint": content["data"]["fingerprint"],
            "images": 19,
        }
        train_here(run_dir, train_steps=3, **settings)  # now these are the run's pictures

    def test_of_classes_is_refused_always(self, tmp_path: Path) -> None:
        for name in ("rose", "tulip"):
            save_pictures(tmp_path / "photos" / name, 8, size=16)
        data = f"folder:{tmp_path / 'photos'}"
        settings: dict[str, Any] = {"data": data, "num_classes": 2}
        train_here(tmp_path / "r", train_steps=1, **settings)
        (tmp_path / "photos" / "tulip").rename(tmp_path / "photos" / "daisy")
        with pytest.raises(InputError, match="gone: tulip; new: daisy"):
            train_here(tmp_path / "r", train_steps=2, allow_data_change=True, **settings)
