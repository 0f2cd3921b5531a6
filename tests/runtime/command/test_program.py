"""What all commands do alike, whatever their work is."""

import signal
import subprocess
import sys

import pytest

BODY = """
import signal, time, weakref
from diffkiln.runtime.command.program import Command

class Thing: pass

def body(_):
    thing = Thing()
    callback = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGTERM))
    del thing
    time.sleep(30)

raise SystemExit(Command("tried", "", "", (), body).main())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_an_interruption_that_python_ignores_comes_again() -> None:
    done = subprocess.run([sys.executable, "-c", BODY], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "")
    assert done.stderr == "tried: interrupted; nothing was written\n"
