"""From a cold process to the first picture, in turns with a bare onnxruntime script.

    python benchmarks/cold_start.py --bundle=flowers.bundle

Prints the median of pairwise ratios, and the time and the peak memory of each: for the command,
which writes a PNG, and for Python's Sampler, which returns an array. The first round compiles all
modules, as pip does for an installed package. Linux and macOS only.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from absl import app, flags

FLAGS = flags.FLAGS

flags.DEFINE_string("bundle", None, "folder that diffkiln-export wrote", required=True)
flags.DEFINE_integer("steps", 5, "denoising steps", lower_bound=1)
flags.DEFINE_integer("rounds", 7, "pairs of processes to time", lower_bound=1)

BARE = """
import sys
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
feeds = {"seeds": numpy.array([0]), "steps": numpy.array(int(sys.argv[2]))}
if len(session.get_inputs()) == 4:
    feeds |= {"labels": numpy.array([0]), "guidance": numpy.array(2, "float32")}
images = session.run(None, feeds)[0]
"""
BARE_PICTURE = f"""{BARE}
from PIL import Image
Image.fromarray(images[0]).save(sys.argv[3])
"""
SAMPLER = """
import sys
from diffkiln.runtime import Sampler
images = Sampler(sys.argv[1], device="cpu").sample(1, steps=int(sys.argv[2]))
"""


def measure(arguments: list[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """The seconds and the peak resident memory in MB of a child process."""
    started = time.perf_counter()
    process = subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(arguments)} failed; run it to see why")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def compare(name: str, ours: list[str], bare: list[str], environment: Mapping[str, str]) -> None:
    rounds = [
        (measure(ours, environment), measure(bare, environment)) for _ in range(FLAGS.rounds + 1)
    ][1:]  # the first round compiles
    ratio = statistics.median(mine[0] / theirs[0] for mine, theirs in rounds)
    print(f"{name} takes {ratio:.2f}× the time of a bare onnxruntime script")
    for label, results in zip((name, "bare script"), zip(*rounds, strict=True), strict=True):
        seconds, memory = (statistics.median(values) for values in zip(*results, strict=True))
        print(f"  {label:15} {seconds:.3f} s, peak {memory:.0f} MB")


def main(_: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": f"{folder}/compiled"}
        environment["ORT_DISABLE_TELEMETRY"] = "1"  # as diffkiln does
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        picture, steps = f"{folder}/picture.png", str(FLAGS.steps)
        graph = str(Path(FLAGS.bundle) / "sampler.onnx")
        command = str(Path(sys.executable).with_name("diffkiln-sample"))
        arguments = [f"--bundle={FLAGS.bundle}", "--count=1", f"--steps={steps}", "--device=cpu"]
        compare(
            "diffkiln-sample",
            [command, *arguments, f"--out={picture}"],
            [sys.executable, "-c", BARE_PICTURE, graph, steps, picture],
            environment,
        )
        compare(
            "Sampler.sample",
            [sys.executable, "-c", SAMPLER, FLAGS.bundle, steps],
            [sys.executable, "-c", BARE, graph, steps],
            environment,
        )


if __name__ == "__main__":
    app.run(main)
