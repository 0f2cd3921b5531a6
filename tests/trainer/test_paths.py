"""Paths of flags, and folders in which a run may begin."""

import os
from pathlib import Path

import pytest
from train_flags import Refusal

from diffkiln.trainer.cli import _PATHS
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.paths import local_path
from diffkiln.trainer.run.directory import RunDirectory


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/of/a/user")
    monkeypatch.setenv("USERPROFILE", "/home/of/a/user")
    assert Path(local_path("run_dir", "~/runs/a")) == Path("/home/of/a/user/runs/a")
    assert local_path("run_dir", "runs/~a") == "runs/~a"
    assert local_path("run_dir", "~no-such-user/a") == "~no-such-user/a"


@pytest.mark.parametrize(
    "flag",
    [*_PATHS, "data", "data=folder:", "eval_split=folder:"],
)
def test_urls_are_refused(flag: str, refusal: Refusal) -> None:
    assignment = flag if "=" in flag else f"{flag}="
    line = refusal("--run_dir=r", f"--{assignment}gs://bucket/a")
    assert "gs://bucket/a: is a URL, expected a local path; mount the bucket" in line
    assert not Path("gs:").exists()


@pytest.mark.parametrize(
    "names",
    [
        ["slurm-123.out", "nohup.out", "train.log", "job.err", "job.o123", ".hidden"],
        ["checkpoints/", "samples/", "logs/", "cache/", "cache/images", f".{'0' * 32}.config.json"],
        ["lost+found/"],
    ],
)
def test_a_folder_without_a_run_is_new(names: list[str], tmp_path: Path) -> None:
    for name in names:
        path = tmp_path / name
        path.mkdir() if name.endswith("/") else path.write_bytes(b"")
    assert RunDirectory(tmp_path).is_new


@pytest.mark.parametrize("name", ["mine.txt", "config.json", "checkpoints/step-2.index"])
def test_a_folder_with_anything_else_is_not(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"")
    assert not RunDirectory(tmp_path).is_new


def test_what_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=r"file/run: cannot be written to .*file is not a folder"):
        RunDirectory(tmp_path / "file" / "run").check_writable()
    (tmp_path / "locked").mkdir(mode=0o500)
    if not os.access(tmp_path / "locked", os.W_OK):  # root may write anywhere
        with pytest.raises(InputError, match="locked is read-only"):
            RunDirectory(tmp_path / "locked" / "run").check_writable()
    RunDirectory(tmp_path / "a" / "b").check_writable()
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "inf"])
def test_hours_are_a_number_above_0(hours: str, refusal: Refusal) -> None:
    line = refusal("--run_dir=r", f"--max_hours={hours}")
    assert f"--max_hours={float(hours)}: expected a number of hours above 0" in line
