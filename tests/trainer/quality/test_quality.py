"""KID while a run trains: what it writes, and that it changes nothing else."""

import contextlib
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Command
from pictures import synthetic_flowers
from train_flags import Refusal
from training_runs import rows, same_weights, train, train_here

from diffkiln.trainer.data.cache import Images
from diffkiln.trainer.data.load import ImageData
from diffkiln.trainer.data.synthetic.species import SPECIES
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.maths.diffusion import Denoiser
from diffkiln.trainer.maths.schedules import CosineSchedule
from diffkiln.trainer.presets import preset_config
from diffkiln.trainer.quality.features import flower_network
from diffkiln.trainer.quality.kid import kid
from diffkiln.trainer.quality.quality import Quality, reference_images
from diffkiln.trainer.run.directory import Best, RunDirectory

HALVED = Denoiser(
    lambda inputs: 0.5 * inputs[0], CosineSchedule(), "image", (0.5,) * 3, (0.25,) * 3
)
KID: dict[str, Any] = {"kid_every_steps": 4, "kid_images": 8}
CLASSES: dict[str, Any] = {
    "num_classes": len(SPECIES),
    "prediction": "image",
    "loss_weighting": "velocity",
}


def flowers(train: int, evaluation: int) -> ImageData:
    images = synthetic_flowers(train + evaluation, image_size=16, seed=0)
    kept, held_out = (
        Images(len(part), (16, 16, 3), cache=None, decode=part.__getitem__)
        for part in (images[:train], images[train:])
    )
    return ImageData(kept, held_out, "")


def quality(**settings: int) -> Quality:
    config = preset_config("tiny", image_size=16, train_steps=10, **settings)
    return Quality(config, flowers(4, 90), HALVED)


@pytest.fixture(scope="module", autouse=True)
def without_a_cache(tmp_path_factory: pytest.TempPathFactory):
    """The extractor must not depend on what the tester's Keras has downloaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        yield


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ten classes, whose pictures are measured."""
    run_dir = tmp_path_factory.mktemp("measured") / "r"
    with contextlib.redirect_stdout(io.StringIO()) as output:
        train_here(run_dir, train_steps=10, log_every_steps=3, **CLASSES, **KID)
    words = r"to step 10\. Classes: .*\. KID by the features of flower network \(\w{12}\)\."
    assert re.search(words, output.getvalue())
    return run_dir


@pytest.mark.slow
def test_rows_have_kid_where_it_is_due(measured: Path) -> None:
    found = {
        int(row["step"]): (float(row["kid"]), row["kid_standard_error"]) for row in rows(measured)
    }
    assert list(found) == [3, 4, 6, 8, 9, 10]
    assert {step for step, (value, _) in found.items() if not math.isnan(value)} == {4, 8, 10}
    assert all(float(error) > 0 for step, (_, error) in found.items() if step in (4, 8, 10))


@pytest.mark.slow
def test_the_best_is_that_of_the_lowest_kid(measured: Path) -> None:
    best = json.loads((measured / "best.json").read_text())
    found = {int(row["step"]): float(row["kid"]) for row in rows(measured)}
    due = {step: found[step] for step in (4, 8, 10)}
    assert best["step"] == min(due, key=lambda step: due[step])
    assert (best["measure"], best["kid"]) == ("kid", due[best["step"]])
    assert best["extractor"] == str(flower_network())
    assert [path.stem for path in (measured / "checkpoints" / "best").glob("*.index")] == [
        f"step-{best['step']}"
    ]


@pytest.mark.slow
def test_measuring_changes_no_weight_and_may_change(tmp_path: Path, measured: Path) -> None:
    train_here(tmp_path / "r", train_steps=6, **CLASSES)
    train_here(tmp_path / "r", train_steps=10, kid_every_steps=3, **CLASSES)
    same_weights(tmp_path / "r", measured)
    _, summary = RunDirectory(tmp_path / "r").read_config()
    assert summary.class_names == tuple(SPECIES)
    best = json.loads((tmp_path / "r" / "best.json").read_text())
    assert best["measure"] == "kid"  # the held-out loss of step 6 says nothing against it


def test_samples_and_number_are_the_same_each_time() -> None:
    one, other = (quality(kid_every_steps=5, kid_images=70) for _ in range(2))
    assert one.samples().shape == (70, 16, 16, 3)
    np.testing.assert_array_equal(one.samples(), other.samples())
    features = flower_network()
    reference, _ = reference_images(flowers(4, 90), 70)
    assert one.at(5) == kid(features(other.samples()), features(reference))


def test_the_images_to_compare_with() -> None:
    data = flowers(6, 9)
    held_out, _ = data.evaluation
    np.testing.assert_array_equal(reference_images(data, 100)[0], held_out)
    np.testing.assert_array_equal(reference_images(data, 3)[0], held_out[[0, 4, 8]])
    np.testing.assert_array_equal(
        reference_images(flowers(6, 0), 100)[0], flowers(6, 9).train.take(np.arange(6))
    )
    with pytest.raises(
        InputError, match=r"^kid_every_steps: the data has 1 image, and KID compares"
    ):
        reference_images(flowers(1, 0), 100)


def test_what_is_due() -> None:
    unmeasured, every_four = quality(), quality(kid_every_steps=4)
    assert [step for step in range(1, 11) if every_four.due(step)] == [4, 8, 10]
    assert not any(unmeasured.due(step) for step in range(1, 11))
    assert every_four.candidate(5, 0.1) is None
    assert math.isnan(every_four.at(5).mean)
    assert unmeasured.candidate(5, 0.1) == Best(5, 0.1)
    assert unmeasured.candidate(5, math.nan) is None


def test_which_step_is_best() -> None:
    loss = Best(1, 0.5)
    by_kid = Best(2, 0.9, "kid", 0.3, "one")
    assert loss.beats(None)
    assert Best(2, 0.4).beats(loss)
    assert not Best(2, 0.6).beats(loss)
    assert Best(3, 2.0, "kid", 0.2, "one").beats(by_kid)
    assert not Best(3, 0.1, "kid", 0.4, "one").beats(by_kid)
    # Other measures and other features cannot be compared with.
    assert by_kid.beats(loss)
    assert loss.beats(by_kid)
    assert Best(3, 0.1, "kid", 0.4, "two").beats(by_kid)


def test_a_best_of_older_versions_is_read(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.best.write_text('{"step": 2, "eval_loss": 0.25}')
    assert run.read_best() == Best(2, 0.25)
    for best in (Best(2, 0.25), Best(3, None, "kid", 0.1, "flower network (00)")):
        run.write_best(best)
        assert run.read_best() == best


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--kid_every_steps=0",), "--kid_every_steps=0: expected a whole number from 1"),
        (("--kid_images=1",), "--kid_images=1: expected a whole number from 2"),
        (("--kid_weights=a.h5",), "--kid_weights=a.h5: only KID reads them"),
        (("--kid_every_steps=1", "--kid_weights="), "--kid_weights=: empty"),
    ],
)
def test_wrong_flags_are_refused(
    refusal: Refusal,
    tmp_path: Path,
    flags: tuple[str, ...],
    words: str,
) -> None:
    assert words in refusal(f"--run_dir={tmp_path / 'r'}", *flags)
    assert not (tmp_path / "r").exists()


def test_missing_weights_end_the_command(command: Command, tmp_path: Path) -> None:
    flags = ("--train_steps=2", "--kid_every_steps=1", "--kid_weights=/no.h5")
    result = train(command, tmp_path / "r", *flags)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert "kid_weights=/no.h5: cannot be read" in result.stderr
    assert not (tmp_path / "r").exists()
