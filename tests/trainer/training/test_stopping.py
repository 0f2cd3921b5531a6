"""What ends a run between two steps, and what the command's status says of it."""

import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from training_runs import rows, same_weights, start, train, train_here, wait_for_rows

from diffkiln.trainer.run.directory import RunDirectory
from diffkiln.trainer.training.stop import Interrupted, Stop

unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


@unix
@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGUSR1", 138)])
def test_a_signal_is_noted_and_leaves_what_takes_long(name: str, status: int) -> None:
    before = signal.getsignal(signal.Signals[name])
    with Stop() as stop:
        stop.check()
        signal.raise_signal(signal.Signals[name])
        assert stop.status == status
        with pytest.raises(Interrupted):
            stop.check()
    assert signal.getsignal(signal.Signals[name]) == before


@unix
def test_nohup_stays_in_force() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop.status == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_end_of_the_time_has_a_status_of_its_own() -> None:
    assert Stop(time.monotonic() - 1).status == 75
    assert Stop(time.monotonic() + 3600).status == 0


KID: dict[str, Any] = {"kid_every_steps": 4, "log_every_steps": 1}


@pytest.mark.slow
@unix
@pytest.mark.parametrize(("name", "status"), [("SIGHUP", 129), ("SIGUSR1", 138)])
def test_a_queue_ends_a_run(name: str, status: int, tmp_path: Path) -> None:
    """After step 3, or within the measurement of KID after step 4, which would take hours."""
    run_dir, alone = tmp_path / "r", tmp_path / "alone"
    flags = (f"--{setting}={value}" for setting, value in KID.items())
    process = start(run_dir, "--train_steps=1000", *flags, "--kid_images=1000000")
    wait_for_rows(run_dir, 3)
    process.send_signal(signal.Signals[name])
    output, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    (step,) = RunDirectory(run_dir).checkpoint_steps()
    assert f"Stopped by {name} at step {step};" in output
    assert errors.splitlines()[-1] == f"diffkiln-train: stopped by {name} at step {step}"
    assert 3 <= step <= 4
    for folder in (run_dir, alone):
        train_here(folder, train_steps=4, kid_images=16, **KID)
    same_weights(run_dir, alone)
    assert (run_dir / "best.json").read_text() == (alone / "best.json").read_text()
    for ours, theirs in zip(rows(run_dir), rows(alone), strict=True):
        measures = ("step", "eval_loss", "kid", "kid_standard_error")
        assert [ours[name] for name in measures] == [theirs[name] for name in measures]


@pytest.mark.slow
def test_the_end_of_the_time_is_no_success(command: Command, tmp_path: Path) -> None:
    result = train(command, tmp_path / "r", "--max_hours=1e-9")
    last = result.stderr.splitlines()[-1]
    assert (result.returncode, last) == (75, "diffkiln-train: stopped by --max_hours at step 0")
    assert "the same command goes on" in result.stdout
