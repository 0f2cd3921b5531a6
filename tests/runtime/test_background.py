"""Work on another thread, while its waiting thread is interrupted anywhere."""

import random
import signal
import subprocess
import sys
import time

import pytest

INTERRUPTIONS = 2000
# Signals only count inside the loop over `once`, so that the rest of this script ends normally.
INTERRUPTED = """
import random, signal, sys, time
from diffkiln.runtime.background import Background

inside, lost, count = False, 0, 0

def handler(*_):
    global inside
    if inside:
        inside = False
        raise KeyboardInterrupt

def lose(_):
    global lost
    lost += 1

def once():
    running = Background(lambda: time.sleep(random.random() * 2e-4))
    try:
        running.start()
        while not running.ended(0.05):
            pass
        running.result()
    except BaseException:
        running.wait()
        raise

signal.signal(signal.SIGINT, handler)
sys.unraisablehook = lose
print("ready", flush=True)
while count < int(sys.argv[1]):
    try:
        inside = True
        for _ in range(20):
            once()
        inside = False
    except KeyboardInterrupt:
        count += 1
print(count, lost)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_interruptions_at_any_place_neither_hang_nor_get_lost() -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(INTERRUPTIONS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            end = time.monotonic() + 60  # they take about 4 s
            while process.poll() is None and time.monotonic() < end:
                process.send_signal(signal.SIGINT)
                time.sleep(random.random() / 1000)
        finally:
            process.kill()
        assert process.stdout.read() == f"{INTERRUPTIONS} 0\n"
