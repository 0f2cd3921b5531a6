"""Which autoencoder a latent model goes on with: its own copy, and the same one if that is lost."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from latent_runs import autoencoder, latent_model
from training_runs import same_weights

from diffkiln.trainer.errors import InputError
from diffkiln.trainer.run.autoencoder import copy_of, read_autoencoder
from diffkiln.trainer.run.directory import RunDirectory
from diffkiln.trainer.run.lineage import training_record

pytestmark = pytest.mark.slow


@pytest.fixture
def model(tmp_path: Path, latent_run: Path) -> RunDirectory:
    """A latent model that a test may spoil."""
    return RunDirectory(shutil.copytree(latent_run, tmp_path / "model"))


@pytest.fixture
def further(tmp_path: Path, autoencoder_run: Path) -> Path:
    """The autoencoder, trained further."""
    run_dir = shutil.copytree(autoencoder_run, tmp_path / "further")
    autoencoder(run_dir, train_steps=32)
    return run_dir


def forget(model: RunDirectory) -> None:
    """Take the fingerprint out of the record, as older versions wrote it."""
    for path in (model.config, model.config_copy):
        content = json.loads(path.read_text())
        del content["autoencoder_fingerprint"]
        path.write_text(json.dumps(content))


def test_it_goes_on_with_its_copy_if_the_first_run_has_moved_or_learned_more(
    model: RunDirectory, autoencoder_run: Path, further: Path
) -> None:
    for latents in (autoencoder_run, further, Path("nowhere"), model.autoencoder.path):
        assert read_autoencoder(latents, model).run.path == model.autoencoder.path


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"factor": 4, "widths": (8, 8, 8)}, r"began with \(factor: 2, not 4; widths: "),
        ({"seed": 1}, r"\(seed: 0, not 1\); give .*model/autoencoder, its copy of that one, or"),
        ({"data": "synthetic:65"}, "data: synthetic:64, not synthetic:65"),
    ],
)
def test_another_autoencoder_is_refused(
    tmp_path: Path, model: RunDirectory, settings: dict[str, Any], words: str
) -> None:
    autoencoder(tmp_path / "other", train_steps=1, **settings)
    before = model.config.read_bytes()
    with pytest.raises(InputError, match=words):
        read_autoencoder(tmp_path / "other", model)
    assert model.config.read_bytes() == before


def test_other_weights_of_no_later_step_are_of_another_autoencoder(
    tmp_path: Path, model: RunDirectory
) -> None:
    autoencoder(tmp_path / "again", train_steps=8)
    with pytest.raises(InputError, match=r"began with \(other weights, of step 8\)"):
        read_autoencoder(tmp_path / "again", model)


def test_a_model_is_no_autoencoder_when_it_goes_on_either(
    model: RunDirectory, small_run: Path
) -> None:
    with pytest.raises(InputError, match="its task is generation, expected autoencoder"):
        read_autoencoder(small_run, model)


def test_the_record_keeps_the_name_of_the_one_that_exists(
    tmp_path: Path, model: RunDirectory, autoencoder_run: Path
) -> None:
    moved = shutil.copytree(autoencoder_run, tmp_path / "moved")
    given = (Path("nowhere"), moved, model.autoencoder.path)
    for latents, name in zip(given, (autoencoder_run, moved, moved), strict=True):
        latent_model(model.path, latents)
        assert model.read_config()[0].latents == str(name)


@pytest.mark.parametrize("lost", ["all", "weights", "settings"])
def test_a_lost_copy_is_written_again(
    model: RunDirectory, autoencoder_run: Path, caplog: pytest.LogCaptureFixture, lost: str
) -> None:
    copy = model.autoencoder
    if lost == "all":
        shutil.rmtree(copy.path)
    else:
        {"weights": copy.ema_weights, "settings": copy.config}[lost].write_text("damaged")
    latent_model(model.path, autoencoder_run)
    assert caplog.messages == [
        f"{copy.path} was gone or damaged; it is written again, from {autoencoder_run}"
    ]
    same_weights(autoencoder_run, copy.path)
    assert copy_of(model).fingerprint() == model.read_autoencoder_fingerprint()


def test_a_lost_copy_is_not_made_up(
    model: RunDirectory, autoencoder_run: Path, further: Path
) -> None:
    shutil.rmtree(model.autoencoder.path)
    with pytest.raises(InputError, match="is not known to be the autoencoder that run_dir="):
        read_autoencoder(further, model)
    with pytest.raises(InputError, match=r"nowhere: no such folder, and .*model/autoencoder, the"):
        read_autoencoder(Path("nowhere"), model)
    with pytest.raises(InputError, match="gone or damaged; give the command that trained it again"):
        training_record(model)
    forget(model)
    with pytest.raises(InputError, match="is not known to be the autoencoder"):
        read_autoencoder(autoencoder_run, model)


def test_an_older_run_gets_a_fingerprint_on_record(
    model: RunDirectory, autoencoder_run: Path
) -> None:
    on_record = model.read_autoencoder_fingerprint()
    forget(model)
    assert model.read_autoencoder_fingerprint() is None
    latent_model(model.path, autoencoder_run)
    assert model.read_autoencoder_fingerprint() == on_record is not None
