"""Several devices and machines that train as one: shares of a batch, and sums over all of them.

Every replica takes its rows of the one global batch, including noise and times. So the losses do
not depend on the number of replicas, except for the order in which floats are added.
"""

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from ..errors import InputError, first_line
from .cluster import Cluster, cluster_from_environment, wait_for_workers

_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
)


class Replicas:
    """The replicas of a run and this process's part in them.

    There are `count` replicas in `workers` processes, and `worker` is the number of this process;
    only worker 0, the chief, evaluates, draws and writes. `is_default` says that there is nothing
    to share, and that variables are TensorFlow's plain ones.
    """

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster | None = None) -> None:
        self.strategy = strategy
        self.workers = len(cluster.workers) if cluster else 1
        self.worker = cluster.index if cluster else 0
        self.is_chief = self.worker == 0
        self.count: int = strategy.num_replicas_in_sync
        self.is_default = strategy is tf.distribute.get_strategy()

    def check_batch(self, batch_size: int, parts: int) -> None:
        """Raise InputError for a batch that the replicas cannot share equally in equal parts."""
        check_batch(batch_size, self.count, parts)

    def run(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """Call `step` on every replica, and return the result of the first one here."""
        here = self.strategy.experimental_local_results
        results = self.strategy.run(step, arguments)
        return tf.nest.map_structure(lambda value: here(value)[0], results)

    def rows(self, batch: tf.Tensor, workers: int = 1) -> tf.Tensor:
        """Called in a replica: its rows of the global batch, or of one of `workers` parts of it."""
        count = self.count // workers
        if count == 1:
            return batch
        number = _context().replica_id_in_sync_group % count
        size = tf.shape(batch)[0] // count
        return batch[number * size : (number + 1) * size]

    def total(self, values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Called in a replica: sums over all replicas."""
        if self.count == 1:
            return list(values)
        return list(_context().all_reduce(tf.distribute.ReduceOp.SUM, list(values)))

    def gathered(self, values: tf.Tensor) -> tf.Tensor:
        """Called in a replica: the rows of all replicas, in the order of the global batch."""
        return values if self.count == 1 else _context().all_gather(values, axis=0)

    def most(self, number: int) -> int:
        """The largest number of any worker; all workers must call this."""
        return max(self._everyone(number))

    def part(self) -> None:
        """Return when all workers call this, so that none ends while another waits for it."""
        self.most(0)
        # The last worker to hear of this second meeting may find the others gone.
        with contextlib.suppress(*_LOST):
            self.most(0)

    def require_same(self, **values: object) -> None:
        """Raise InputError if the workers' values differ; all workers must call this."""
        for name, value in values.items():
            digest = hashlib.sha256(str(value).encode()).digest()
            if len(set(self._everyone(int.from_bytes(digest[:7])))) > 1:
                self._leave()
                raise InputError(
                    f"{name} of worker {self.worker}: received {value}, and not on all workers; "
                    "expected the same; give all the same command, data and run directory"
                )

    def end_together(self, error: InputError | None) -> None:
        """Raise an InputError if any worker has an error, this one's own; all must call this."""
        if self.most(int(error is not None)):
            self._leave()
            raise error or InputError("another worker cannot begin; see what it said")

    def _leave(self) -> None:
        """Part before an error: the first worker to hear must not end before the others do."""
        with contextlib.suppress(*_LOST):
            self.part()

    @contextlib.contextmanager
    def naming_lost_workers(self) -> Iterator[None]:
        """Turn TensorFlow's errors about a lost worker into a ConnectionError."""
        try:
            yield
        except _LOST as error:
            if self.workers == 1:
                raise
            tasks = sorted(set(re.findall(r"/job:\w+/(?:replica:0/)?task:\d+", str(error))))
            raise ConnectionError(
                f"another worker stopped or cannot be reached ({', '.join(tasks)}); see what it "
                "said, and give all workers the same command again to go on from the last "
                "checkpoint"
            ) from error

    @tf.function(reduce_retracing=True, autograph=False)
    def _gather_numbers(self, number: tf.Tensor) -> tf.Tensor:
        return self.run(lambda x: _context().all_gather(tf.identity(x)[None], axis=0), number)

    def _everyone(self, number: int) -> list[int]:
        if self.workers == 1:
            return [number]
        return self._gather_numbers(tf.constant(number, tf.int64)).numpy().tolist()


def check_batch(batch_size: int, replicas: int, parts: int) -> None:
    """Raise InputError for a batch that replicas cannot share equally in equal parts."""
    if batch_size % (replicas * parts):
        of_parts = f", times accumulation_steps={parts}" if parts > 1 else ""
        expected = f"a multiple of {replicas}, the number of replicas{of_parts}"
        raise InputError(f"batch_size={batch_size}: expected {expected}")


def make_replicas(distribute: str, *, worker_timeout_s: float = 300) -> Replicas:
    """The replicas of `none`, `mirrored` (all devices here) or `multi_worker` (TF_CONFIG).

    Without a GPU, `mirrored` uses TensorFlow's logical CPUs (by default one). Must be called before
    TensorFlow runs anything. Raises InputError for a TF_CONFIG that cannot be used, and
    ConnectionError if a worker does not answer.
    """
    if distribute == "none":
        return Replicas(tf.distribute.get_strategy())
    if distribute == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return Replicas(tf.distribute.MirroredStrategy([device.name for device in devices]))
    cluster = cluster_from_environment()
    wait_for_workers(cluster, timeout_s=worker_timeout_s)
    try:
        return Replicas(tf.distribute.MultiWorkerMirroredStrategy(), cluster)
    except tf.errors.OpError as error:
        raise ConnectionError(
            f"TF_CONFIG: the workers could not be joined ({first_line(error)}); expected the same "
            "cluster on all of them"
        ) from error


def _context() -> Any:
    return tf.distribute.get_replica_context()
