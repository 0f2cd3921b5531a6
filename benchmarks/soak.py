"""Many threads on one Sampler for a long time: no error, no wrong image, no growth of memory.

    python benchmarks/soak.py --bundle=flowers.bundle --seconds=300

Every thread makes requests with changing seeds, batches and steps, and compares the images with the
images of the same request on a single thread. Whole requests are compared, since kernels of
different batch sizes add up in different order, which may change a seed's image by a level. The
status is 1 if an image differs, a call fails, or resident memory grows by more than 5%. Growth is
measured between the means of the second tenth of the time, when every thread has its buffers, and
of the last. Linux only: it reads /proc.
"""

import random
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from absl import app, flags
from measuring import resident_megabytes

from diffkiln.runtime import Sampler

FLAGS = flags.FLAGS
flags.DEFINE_string("bundle", None, "the folder that diffkiln-export wrote", required=True)
flags.DEFINE_float("seconds", 300, "duration", lower_bound=1)
flags.DEFINE_integer("workers", 8, "threads on the one Sampler", lower_bound=1)

IMAGES = 12
REQUESTS = 24
STEPS = (1, 2, 5)
GROWTH_LIMIT = 1.05


@dataclass(frozen=True)
class Request:
    """Seeds and steps, and their images uint8 [n, H, W, C] on a single thread."""

    seeds: list[int]
    steps: int
    images: np.ndarray


def answered_requests(sampler: Sampler) -> list[Request]:
    """Requests of every batch size from 1 to IMAGES, with random seeds and steps."""
    choose, requests = random.Random(0), []
    for number in range(REQUESTS):
        seeds = choose.sample(range(IMAGES), 1 + number % IMAGES)
        steps = choose.choice(STEPS)
        requests.append(Request(seeds, steps, sampler.sample(seeds, steps=steps)))
    return requests


class Soak:
    """What the threads share."""

    def __init__(self, sampler: Sampler, requests: Sequence[Request], seconds: float) -> None:
        self.sampler, self.requests = sampler, requests
        self.end = time.monotonic() + seconds
        self.images = 0
        self.failures: list[str] = []
        self.lock = threading.Lock()

    def work(self, seed: int) -> None:
        """Draw and compare until the time is over or something has gone wrong."""
        choose = random.Random(seed)
        while time.monotonic() < self.end and not self.failures:
            request = choose.choice(self.requests)
            asked = f"steps {request.steps}, seeds {request.seeds}"
            try:
                images = self.sampler.sample(request.seeds, steps=request.steps)
            except Exception as error:  # any failure counts
                self.failures.append(f"{asked}: {error!r}")
                return
            if not np.array_equal(images, request.images):
                self.failures.append(f"{asked}: other images")
            with self.lock:
                self.images += len(images)


def memory_while(threads: list[threading.Thread], seconds: float) -> list[float]:
    """Resident memory in MB at 100 moments while the threads work."""
    readings = []
    while any(thread.is_alive() for thread in threads):
        time.sleep(seconds / 100)
        readings.append(resident_megabytes())
    return readings


def main(_: list[str]) -> None:
    """Soak, print a summary, and end with status 1 if something was wrong."""
    sampler = Sampler(FLAGS.bundle, device="cpu")
    soak = Soak(sampler, answered_requests(sampler), FLAGS.seconds)
    threads = [threading.Thread(target=soak.work, args=(seed,)) for seed in range(FLAGS.workers)]
    for thread in threads:
        thread.start()
    readings = memory_while(threads, FLAGS.seconds)
    tenth = max(1, len(readings) // 10)
    early, late = readings[tenth : 2 * tenth] or readings, readings[-tenth:]
    growth = statistics.mean(late) / statistics.mean(early)
    if growth > GROWTH_LIMIT:
        soak.failures.append(f"memory grew by {growth - 1:.1%}")
    print(
        f"{FLAGS.workers} threads, {FLAGS.seconds:g} s, {soak.images} images, "
        f"{statistics.mean(early):.0f} MB at first, {statistics.mean(late):.0f} MB at last, "
        f"{len(soak.failures)} failures"
    )
    print(*soak.failures, sep="\n", file=sys.stderr)
    sys.exit(1 if soak.failures else 0)


if __name__ == "__main__":
    app.run(main)
