"""A Sampler in forks, copies, daemon threads and processes that end."""

import copy
import multiprocessing
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from diffkiln.runtime import Sampler, open_bundle
from diffkiln.runtime.background import Background

FORKS = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads resident memory from /proc")

# The child of a fork draws what its parent drew, and ends as Python ends; or the clock ends it.
FORK = """
import os, signal, sys
from diffkiln.runtime import Sampler, open_bundle
sampler = Sampler(sys.argv[1], device="cpu", threads=2)
expected = sampler.sample(2, steps=2)
{before}
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
signal.alarm(60)
{after}
"""
DRAW = "sys.exit(not (sampler.sample(2, steps=2) == expected).all())"


def ended(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@FORKS
@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", DRAW),
        ("", ""),
        ("sampler._engine._lock.acquire()", DRAW),
        ("batches = sampler.batches(40, steps=1); next(batches)", "next(batches)"),
        ("graph = open_bundle(sys.argv[1]).graph('noise'); graph.begin()", "graph.content()"),
    ],
)
def test_a_fork_loads_anew_and_ends(tiny_bundle: Path, before: str, after: str) -> None:
    done = ended(FORK.format(before=before, after=after), tiny_bundle)
    assert (done.returncode, done.stderr) == (0, "")


@FORKS
@pytest.mark.slow
def test_a_daemon_may_fork(tiny_bundle: Path) -> None:
    code = FORK.format(before="", after=DRAW).replace("sys.exit", "os._exit")
    daemon = f"import sys, threading; code = {code!r}; run = lambda: exec(code, {{}}); "
    daemon += "(thread := threading.Thread(target=run, daemon=True)).start(); thread.join()"
    done = ended(f"{daemon}; sys.exit('it did not end')", tiny_bundle)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_background_that_a_fork_has_lost_is_done_again() -> None:
    lost = Background(lambda: 3)
    lost._process = -1  # as if another process had begun it
    assert lost.result() == 3


@pytest.mark.parametrize("again", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_has_the_bundle_and_the_settings(tiny_bundle: Path, again: Callable) -> None:
    sampler = Sampler(tiny_bundle, device="cpu", max_batch=2, low_power=True)
    sampler.load("sampler")
    sampler.bundle.graph("noise").begin()
    other = again(sampler)
    assert other.bundle == sampler.bundle
    assert other._engine.settings == sampler._engine.settings
    sampler.close()
    assert other.sample(1, steps=1).shape == (1, 16, 16, 3)
    assert again(open_bundle(tiny_bundle)) == sampler.bundle


POOL = """
import multiprocessing, sys
from diffkiln.runtime import Sampler

def draw(sampler):
    return sampler.sample(2, steps=1)

if __name__ == "__main__":
    sampler = Sampler(sys.argv[2], device="cpu")
    expected = draw(sampler)
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        assert all((images == expected).all() for images in pool.map(draw, [sampler] * 4))
        pool.close()
        pool.join()
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_processes_of_a_pool_draw_alike(tiny_bundle: Path, tmp_path: Path, method: str) -> None:
    (program := tmp_path / "program.py").write_text(POOL)
    command = [sys.executable, program, method, tiny_bundle]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# The main thread ends while another thread computes.
DAEMON = """
import sys, threading
from diffkiln.runtime import Sampler
sampler = Sampler(sys.argv[1], device="cpu")
begun = threading.Event()

def work():
    begun.set()
    {work}
    print("finished", flush=True)

threading.Thread(target=work, daemon={daemon}).start()
begun.wait()
{then}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "work",
    [
        "sampler.sample(64, steps=1000)",
        "list(sampler.stepwise(64, steps=1000))",
        "for _ in range(9999): sampler.warm_up(64)",
        "for _ in range(999): Sampler(sys.argv[1], device='cpu').load('sampler')",
    ],
)
def test_a_process_exits_whatever_its_daemons_do(tiny_bundle: Path, work: str) -> None:
    program = DAEMON.format(work=work, daemon=True, then="import time; time.sleep(0.5)")
    done = ended(program, tiny_bundle)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "terminate" not in done.stderr


@pytest.mark.slow
def test_threads_that_python_waits_for_finish_their_work(tiny_bundle: Path) -> None:
    """Also what a daemon computes meanwhile, such as a request of a server on another thread."""
    work = "sampler.sample(16, steps=20)"
    done = ended(DAEMON.format(work=work, daemon=False, then=""), tiny_bundle)
    assert (done.returncode, done.stdout, done.stderr) == (0, "finished\n", "")
    server = "threading.Thread(target=threading.enumerate()[-1].join).start()"
    done = ended(DAEMON.format(work=work, daemon=True, then=server), tiny_bundle)
    assert (done.returncode, done.stdout, done.stderr) == (0, "finished\n", "")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no timers")
def test_an_exception_from_a_signal_ends_the_run(tiny_bundle: Path) -> None:
    def late(*_: object) -> None:
        raise TimeoutError

    sampler = Sampler(tiny_bundle, device="cpu")
    sampler.load("sampler")
    before, threads = signal.signal(signal.SIGALRM, late), threading.active_count()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(TimeoutError):
            sampler.sample(64, steps=1000)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert threading.active_count() == threads


@LINUX
@pytest.mark.slow
def test_close_returns_the_memory() -> None:
    program = """
from diffkiln.runtime import Sampler
def resident():
    return int(open("/proc/self/statm").read().split()[1])
with Sampler(device="cpu", threads=1) as sampler:
    sampler.sample(1, steps=1)
before = resident()
with Sampler(device="cpu", threads=1) as sampler:
    sampler.sample(8, steps=1)
    during = resident()
print((resident() - before) / (during - before))
"""
    assert float(ended(program).stdout) < 0.5
