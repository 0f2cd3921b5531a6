"""A run directory's lock: one job at a time, whatever became of the others."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from diffkiln.trainer.errors import InputError
from diffkiln.trainer.run import lock as lock_module
from diffkiln.trainer.run.lock import locked

HOLD = """
import sys
from pathlib import Path
from typing import Any
from diffkiln.trainer.run.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A path for a lock, for which nobody waits a minute."""
    monkeypatch.setattr(lock_module, "STALE_S", 0.4)
    monkeypatch.setattr(lock_module, "RENEW_S", 0.05)
    return tmp_path / "run" / "lock.json"


def holder(lock: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock until its input ends."""
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], text=True, **pipes)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def left_behind(lock: Path, **changes: object) -> None:
    """Write the lock of a process of this machine, with other values of some names."""
    with locked(lock):
        content = json.loads(lock.read_text())
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(json.dumps({**content, **changes}))


@pytest.mark.slow
def test_a_lock_is_held_while_its_process_runs(lock: Path) -> None:
    process = holder(lock)
    with pytest.raises(InputError, match=f"in use by process {process.pid} on "), locked(lock):
        pass
    process.communicate()
    assert not lock.parent.exists()
    with locked(lock):
        assert lock.exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="sees in /proc when the process is dead")
def test_a_killed_process_frees_its_lock_at_once(
    lock: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = holder(lock)
    process.kill()  # Nobody waits for it, so its number is still in use.
    while b"Z" not in Path(f"/proc/{process.pid}/stat").read_bytes():
        time.sleep(0.01)
    with locked(lock):
        assert not capsys.readouterr().out
    process.communicate()


def test_another_process_of_the_same_number_holds_no_lock(lock: Path) -> None:
    left_behind(lock, started=0.0)
    with locked(lock):
        pass


@pytest.mark.parametrize("change", [{"host": "elsewhere"}, {"processes": "elsewhere"}])
def test_a_lock_of_another_host_is_watched(
    lock: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str]
) -> None:
    left_behind(lock, **change)
    with locked(lock):
        assert "whether it is in use" in capsys.readouterr().out


def test_a_lock_of_another_host_holds_while_it_is_renewed(
    lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_module, "STALE_S", 60.0)
    left_behind(lock, host="elsewhere")
    threading.Timer(0.3, lock.touch).start()
    with pytest.raises(InputError, match=r"in use by process \d+ on elsewhere; wait"), locked(lock):
        pass


@pytest.mark.parametrize("content", ["", "[]", "{", "{}", '{"host": 1, "process": "x"}', "\0\xff"])
def test_what_is_no_lock_does_not_lock_for_ever(lock: Path, content: str) -> None:
    lock.parent.mkdir()
    lock.write_text(content)
    with locked(lock):
        pass


def test_a_job_whose_lock_was_taken_saves_nothing_more(lock: Path) -> None:
    with locked(lock) as held:
        held.require()
        time.sleep(0.2)
        held.require()
        lock.write_text(json.dumps({"host": "elsewhere", "process": 7}))
        time.sleep(0.2)
        with pytest.raises(InputError, match="in use by process 7 on elsewhere"):
            held.require()
    assert lock.exists()


def test_a_lock_that_was_removed_is_made_again(lock: Path) -> None:
    with locked(lock) as held:
        content = lock.read_text()
        lock.unlink()
        time.sleep(0.2)
        assert lock.read_text() == content
        held.require()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    lock, expected = tmp_path / "file" / "lock.json", r"run_dir=.*file: cannot be written to"
    with pytest.raises(InputError, match=expected), locked(lock):
        pass


def test_a_lock_that_cannot_be_replaced_says_why(lock: Path) -> None:
    lock.mkdir(parents=True)
    expected = r"run_dir=.*run: cannot be written to \(Is a directory\); make room"
    with pytest.raises(InputError, match=expected), locked(lock):
        pass
