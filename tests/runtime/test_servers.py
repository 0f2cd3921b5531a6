"""Real web servers draw, and end when they are told to."""

import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

from diffkiln.runtime import Sampler

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither gunicorn nor SIGINT"),
]

APP = """
import sys
import flask
from diffkiln.runtime import Sampler

app = flask.Flask(__name__)
sampler = Sampler({bundle!r}, device="cpu")
sampler.sample(1, steps=1)

@app.get("/<int:count>/<int:steps>")
def draw(count, steps):
    print("begun", file=sys.stderr, flush=True)
    return sampler.sample(count, steps=steps).tobytes()

if __name__ == "__main__":
    app.run(port=0)
"""

Served = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def serve(tiny_bundle: Path, tmp_path: Path) -> Iterator[Served]:
    """Start a server with the arguments of Python; the process, and its address once it listens."""
    (tmp_path / "app.py").write_text(APP.format(bundle=str(tiny_bundle)))
    started: list[subprocess.Popen[str]] = []

    def served(*arguments: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stderr
        lines = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in process.stderr)
        return process, next(found[0] for found in lines if found)

    yield served
    for process in started:
        process.kill()
        process.communicate()


def drawn(address: str, count: int, steps: int) -> bytes:
    with urllib.request.urlopen(f"{address}/{count}/{steps}", timeout=100) as answer:
        return answer.read()


def test_flask_ends_on_ctrl_c_during_a_request(serve: Served) -> None:
    process, address = serve("app.py")

    def ask() -> None:
        with suppress(OSError):
            drawn(address, 64, 1000)

    (asking := threading.Thread(target=ask)).start()
    assert process.stderr
    assert "begun\n" in iter(process.stderr.readline, "")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    asking.join()
    assert process.returncode == 0, stderr
    assert "terminate called" not in stderr


def test_workers_of_gunicorn_draw_with_a_preloaded_sampler(
    serve: Served, tiny_bundle: Path
) -> None:
    bind = ("--bind=127.0.0.1:0", "--workers=2", "--preload", "--no-control-socket")
    process, address = serve("-m", "gunicorn", *bind, "app:app")
    images = Sampler(tiny_bundle, device="cpu").sample(2, steps=3)
    assert sha256(drawn(address, 2, 3)).digest() == sha256(images.tobytes()).digest()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    # What gunicorn says of a worker that does not end in time.
    assert "SIGKILL" not in stderr
