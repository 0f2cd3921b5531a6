"""From a cold process to the first picture, beside a bare onnxruntime script, interleaved.

    python benchmarks/cold_start.py --bundle=flowers.bundle

Prints the median of pairwise ratios, and the peak memory of each.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import app, flags

FLAGS = flags.FLAGS

flags.DEFINE_string("bundle", None, "folder that diffkiln-export wrote", required=True)
flags.DEFINE_integer("steps", 5, "denoising steps", lower_bound=1)
flags.DEFINE_integer("rounds", 7, "pairs of processes to time", lower_bound=1)

BARE = """
import sys
import numpy, onnxruntime
from PIL import Image
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
feeds = {"seeds": numpy.array([0]), "steps": numpy.array(int(sys.argv[2]))}
Image.fromarray(session.run(None, feeds)[0][0]).save(sys.argv[3])
"""


def measure(arguments: list[str]) -> tuple[float, float]:
    """Seconds and peak resident memory in MB of a child process."""
    started = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(arguments)} failed; run it to see why")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def main(_: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        picture, steps = f"{folder}/picture.png", str(FLAGS.steps)
        sample = str(Path(sys.executable).with_name("diffkiln-sample"))
        ours = [sample, f"--bundle={FLAGS.bundle}", "--count=1", f"--steps={steps}", "--device=cpu"]
        graph = str(Path(FLAGS.bundle) / "sampler.onnx")
        bare = [sys.executable, "-c", BARE, graph, steps, picture]
        rounds = [
            (measure([*ours, f"--out={picture}"]), measure(bare)) for _ in range(FLAGS.rounds)
        ]
    ratio = statistics.median(mine[0] / theirs[0] for mine, theirs in rounds)
    print(f"diffkiln-sample takes {ratio:.2f}× the time of a bare onnxruntime script")
    for name, results in zip(
        ("diffkiln-sample", "bare script"), zip(*rounds, strict=True), strict=True
    ):
        seconds, memory = (statistics.median(values) for values in zip(*results, strict=True))
        print(f"  {name:15} {seconds:.2f} s, peak {memory:.0f} MB")


if __name__ == "__main__":
    app.run(main)
