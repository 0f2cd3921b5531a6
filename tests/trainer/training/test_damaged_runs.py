"""A run goes on from what is whole of its own files; what is damaged is set aside and named."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from training_runs import SAVED, STEPS, rows, same_weights, train_here

from diffkiln.trainer.errors import InputError
from diffkiln.trainer.run.directory import RunDirectory
from diffkiln.trainer.run.lineage import training_record

pytestmark = pytest.mark.slow


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spreadsheet(path: Path) -> None:
    text = path.read_text().replace(",", ";").replace(".", ",")
    path.write_text(text, encoding="utf-16")


def surplus(path: Path) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], f"{lines[3]},7", *lines[4:], ""]))


def unnamed(path: Path) -> None:
    path.write_text(path.read_text().replace('"settings"', '"seddings"'))


DAMAGES: dict[str, list[Callable[[Path], object]]] = {
    "config.json": [
        cut,
        lambda path: path.write_text(""),
        lambda path: path.write_text("[]"),
        unnamed,
    ],
    "metrics.csv": [spreadsheet, surplus, lambda path: path.write_bytes(b"\xff\xfe\0")],
    "best.json": [cut, lambda path: path.write_text('{"step": "x"}')],
    "ema.weights.h5": [cut],
    "best.weights.h5": [cut],
}


@pytest.mark.parametrize(
    ("name", "damage"), [(name, each) for name in DAMAGES for each in DAMAGES[name]]
)
def test_a_damaged_file_is_set_aside(
    name: str,
    damage: Callable[[Path], object],
    tmp_path: Path,
    small_run: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run_dir = shutil.copytree(small_run, tmp_path / "r")
    damage(run_dir / name)
    damaged = (run_dir / name).read_bytes()
    with caplog.at_level(logging.WARNING, "diffkiln.trainer"):
        train_here(run_dir, train_steps=STEPS, **SAVED)
    (line,) = caplog.messages
    assert line.startswith(f"{run_dir / name} was damaged; it is now {name}.damaged, and ")
    assert (run_dir / f"{name}.damaged").read_bytes() == damaged
    for file in ("ema.weights.h5", "best.weights.h5"):
        same_weights(run_dir, small_run, file)
    assert (run_dir / "best.json").read_text() == (small_run / "best.json").read_text()
    whole = {"spreadsheet": 0, "surplus": STEPS - 1}.get(damage.__name__, STEPS)
    if name == "metrics.csv" and damage in (spreadsheet, surplus):
        assert len(rows(run_dir)) == whole


def test_harmless_changes_of_the_metrics_lose_no_row(
    tmp_path: Path, small_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_dir = shutil.copytree(small_run, tmp_path / "r")
    text = (run_dir / "metrics.csv").read_text()
    (run_dir / "metrics.csv").write_text("\ufeff" + text.replace("\n", "\r\n") + "\n")
    train_here(run_dir, train_steps=STEPS, **SAVED)
    assert rows(run_dir) == rows(small_run)
    assert not caplog.messages


def test_strange_files_among_the_checkpoints_are_passed_over(
    tmp_path: Path, small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = shutil.copytree(small_run, tmp_path / "r")
    checkpoints = run_dir / "checkpoints"
    shutil.copy(checkpoints / f"step-{STEPS}.index", checkpoints / "step-final.index")
    (checkpoints / "step-9999.index").write_bytes(b"no checkpoint")
    (checkpoints / "checkpoint").write_bytes(b"\xff\0")
    (checkpoints / "step-32_temp").mkdir()
    (run_dir / f".{'0' * 32}.config.json").write_bytes(b"a killed process left this")
    train_here(run_dir, train_steps=STEPS + 4, **SAVED)
    assert f"on from step {STEPS} to" in capsys.readouterr().out
    names = {path.name for path in checkpoints.glob("*.index")}
    kept = {f"step-{step}.index" for step in (STEPS + 2, STEPS + 4)}
    assert names == {*kept, "step-final.index", "step-9999.index"}
    assert not list(run_dir.glob(".*"))
    assert not list(checkpoints.glob("*_temp"))


def test_a_config_without_a_whole_copy_is_refused(tmp_path: Path, small_run: Path) -> None:
    run_dir = shutil.copytree(small_run, tmp_path / "r")
    (run_dir / "checkpoints" / "config.json").unlink()
    (run_dir / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json: not JSON .*; restore the file"):
        train_here(run_dir, train_steps=STEPS, **SAVED)
    assert (run_dir / "config.json").read_text() == "{"


def test_an_export_of_a_damaged_run_is_of_the_right_step(tmp_path: Path, small_run: Path) -> None:
    run_dir = shutil.copytree(small_run, tmp_path / "r")
    step = json.loads((run_dir / "best.json").read_text())["step"]
    for name in ("best.json", "config.json"):
        (run_dir / name).write_text("")
    assert training_record(RunDirectory(run_dir), "best")["step"] == step
    assert (run_dir / "best.json").read_text() == ""
