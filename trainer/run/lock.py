"""The lock of a run directory, so that two jobs never write to the same run.

`lock.json` names the host and the process that hold it, and they renew the file's time. A lock of a
process of this host that is dead is free at once. Nobody can ask another host for its processes,
and clocks differ, so its lock is free after a minute in which this process saw no renewal.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from ..errors import InputError
from .atomic import replacing

RENEW_S, STALE_S = 10.0, 60.0
# If two processes take over a lock at the same time, the one that wrote last has it.
_SETTLE_S = 0.5
_WATCH_S = 0.2
# The clock from which a process's start follows may be set.
_SAME_START_S = 5.0


class RunLock:
    """The lock of one run directory, held by this process from `acquire` to `release`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content = {**_own_process(), "key": uuid.uuid4().hex}
        self._lost = ""
        self._released = threading.Event()
        self._renewal = threading.Thread(target=self._renew, name="run lock", daemon=True)

    def acquire(self) -> None:
        """Take the lock and renew it from now on; raises InputError if another process has it."""
        if not self._make():
            self._take_over()
        self._renewal.start()

    def release(self) -> None:
        """Give the lock back."""
        self._released.set()
        # A renewal under way might make the lock again.
        self._renewal.join(RENEW_S)
        with contextlib.suppress(OSError):
            if _read(self._path) == self._content:
                self._path.unlink()

    def require(self) -> None:
        """Raise InputError if another process has taken over the run."""
        if self._lost:
            raise InputError(f"{self._lost}; this job ends here, and saves nothing more")

    def _make(self) -> bool:
        """Whether there was no lock, and so the new one is this process's."""
        try:
            file = self._path.open("x")
        except FileExistsError:
            return False
        try:
            with file:
                json.dump(self._content, file)
        except OSError:  # the disk is full, and half a lock would be in the way
            self._path.unlink()
            raise
        return True

    def _take_over(self) -> None:
        if is_held(self._path, patient=True):
            raise InputError(in_use(self._path))
        with replacing(self._path) as part:
            part.write_text(json.dumps(self._content))
        time.sleep(_SETTLE_S)
        if _read(self._path) != self._content:
            raise InputError(in_use(self._path))

    def _renew(self) -> None:
        while not self._released.wait(RENEW_S):
            # A file system that does not answer may do so again.
            with contextlib.suppress(OSError):
                if not self._path.exists():
                    self._make()
                if (content := _read(self._path)) and content != self._content:
                    self._lost = in_use(self._path)
                    return
                os.utime(self._path)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[RunLock]:
    """Hold the lock of this path; its folder is made, and removed if it is left empty.

    Raises InputError if another process holds it, or if nothing can be written there.
    """
    lock, folder = RunLock(path), path.parent
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        problem = f"cannot be written to ({error.strerror}); make room, or choose another folder"
        raise InputError(f"run_dir={folder}: {problem}") from error
    try:
        yield lock
    finally:
        lock.release()
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def is_held(lock: Path, *, patient: bool = False) -> bool:
    """Whether a process holds this lock; if that does not show, only the `patient` wait for it."""
    before, runs = _trace(lock), _runs(_read(lock))
    if before is None or runs is not None or not patient:
        return bool(runs)
    print(f"{lock.parent}: looking for up to {STALE_S:g} s whether it is in use …", flush=True)
    deadline = time.monotonic() + STALE_S
    while time.monotonic() < deadline:
        time.sleep(_WATCH_S)
        if (now := _trace(lock)) != before:
            return now is not None
    return False


def in_use(lock: Path) -> str:
    """The error for a lock that another process holds."""
    content = _read(lock)
    holder = "process {process} on {host}".format_map({"process": "?", "host": "?", **content})
    remedy = "wait until it ends, or choose another folder"
    return f"run_dir={lock.parent}: is in use by {holder}; {remedy}"


def _own_process() -> dict[str, Any]:
    process = psutil.Process()
    return {
        "host": socket.gethostname(),
        "process": process.pid,
        "started": process.create_time(),
        "processes": _process_table(),
    }


def _process_table() -> str:
    """Where process numbers count: containers of one name and a host that was restarted differ."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return ""


def _runs(content: dict[str, Any]) -> bool | None:
    """Whether the process of a lock runs; None if this process cannot know."""
    own = _own_process()
    try:
        if any(content[name] != own[name] for name in ("host", "processes")):
            return None
        process = psutil.Process(content["process"])
        same = abs(process.create_time() - content["started"]) < _SAME_START_S
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except (KeyError, TypeError, ValueError, psutil.AccessDenied):  # no lock of this version
        return None


def _read(lock: Path) -> dict[str, Any]:
    """What a lock says; nothing if it is not there, or half written."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(lock.read_text())
        return content if isinstance(content, dict) else {}
    return {}


def _trace(lock: Path) -> tuple[int, str] | None:
    """What changes when a lock is renewed; None if it is not there."""
    with contextlib.suppress(OSError, ValueError), lock.open() as file:
        return os.fstat(file.fileno()).st_mtime_ns, file.read()
    return None
