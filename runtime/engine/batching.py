"""How many images to compute at once: the work itself is timed, and the size adapted."""

import threading

from ..device.resources import available_bytes, peak_bytes

# Small batches leave most of a GPU idle.
FIRST = {"cpu": 4, "openvino": 4, "cuda": 16}
LAST = {"cpu": 64, "openvino": 64, "cuda": 1024}

# Up to this many images are computed together: trying sizes would gain nothing.
TOGETHER = 16

# A larger batch takes more memory, so it must take at most this part of the time for an image.
_WORTHWHILE = 0.97
# The part of the available memory that the next batch may add.
_SHARE = 0.5


class BatchSize:
    """Doubles the batch while that makes an image cheaper and memory allows it.

    Each size runs twice and the second run is timed, since a first run has costs of its own. All
    runs are real work. A size that the caller asked for stays. Several threads may share one
    BatchSize.
    """

    def __init__(self, device: str, asked: int | None = None) -> None:
        self._asked, self._settled = asked, asked is not None
        self._size, self._last = asked or FIRST[device], LAST[device]
        self._first_peak = peak_bytes()
        self._best_seconds = float("inf")
        self._runs = 0
        self._lock = threading.Lock()

    def next(self, remaining: int) -> int:
        """Return how many of the `remaining` images to compute now."""
        with self._lock:
            size = self._size if self._settled or remaining > TOGETHER else TOGETHER
            return min(size, remaining)

    def took(self, size: int, seconds: float) -> None:
        """Learn that a batch of `size` images took `seconds`."""
        with self._lock:
            if self._settled or size != self._size:
                return
            self._runs += 1
            if self._runs == 2:
                self._compare(seconds / size)

    def too_large(self, size: int) -> bool:
        """Settle on half of `size`, for which memory was short; return False if that cannot be."""
        with self._lock:
            if self._asked is not None or size == 1:
                return False
            self._size, self._settled = size // 2, True
            return True

    def _compare(self, image_seconds: float) -> None:
        if image_seconds > _WORTHWHILE * self._best_seconds:
            self._size, self._settled = self._size // 2, True
        elif 2 * self._size > self._last or not self._doubling_fits():
            self._settled = True
        else:
            self._size, self._runs, self._best_seconds = 2 * self._size, 0, image_seconds

    def _doubling_fits(self) -> bool:
        """Whether memory can grow once more by as much as it grew for this size."""
        available, peak = available_bytes(), peak_bytes()
        if available is None or peak is None or self._first_peak is None:
            return True
        return peak - self._first_peak <= _SHARE * available
