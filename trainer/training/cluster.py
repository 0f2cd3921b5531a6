"""The processes that train together: their addresses in TF_CONFIG, and waiting for them."""

import json
import os
import socket
import time
from dataclasses import dataclass
from typing import Any

from ..errors import InputError

_EXPECTED = (
    'expected {"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}'
)
_JOBS = ("chief", "worker")
_RETRY_S = 0.1


@dataclass(frozen=True)
class Cluster:
    """The addresses `host:port` of all workers, the chief's first, and this process's index."""

    workers: tuple[str, ...]
    index: int


def cluster_from_environment() -> Cluster:
    """The cluster of the environment variable TF_CONFIG, as tf.distribute reads it.

    Raises InputError if the variable is not set, or malformed.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        expected = f"{_EXPECTED}, another index for each worker"
        raise InputError(f"distribute=multi_worker: TF_CONFIG is not set; {expected}")
    try:
        content = json.loads(text)
        jobs, task = content["cluster"], content["task"]
        kind, index = str(task["type"]), task["index"]
        addresses = {job: _addresses(jobs[job]) for job in jobs}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"TF_CONFIG={text}: cannot be read ({error!r}); {_EXPECTED}") from error
    unknown = sorted(set(addresses) - set(_JOBS)) or ([] if kind in addresses else [kind])
    if unknown:
        expected = f"expected {' or '.join(_JOBS)}, and the task's job in the cluster"
        raise InputError(f"TF_CONFIG: {', '.join(unknown)}: no such job; {expected}")
    own = addresses[kind]
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(own):
        expected = f"expected an index from 0 to {len(own) - 1}, of the addresses of {kind}"
        raise InputError(f"TF_CONFIG: task {kind} {index!r}: {expected}")
    workers = tuple(address for job in _JOBS for address in addresses.get(job, ()))
    _check_addresses(workers)
    return Cluster(workers, workers.index(own[index]))


def _addresses(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(address, str) for address in value):
        raise TypeError(f"{value!r} is no list of addresses")
    return value


def _check_addresses(workers: tuple[str, ...]) -> None:
    for address in workers:
        host, _, port = address.rpartition(":")
        if not (host and port.isdecimal() and 0 < int(port) < 2**16):
            raise InputError(f"TF_CONFIG: worker {address!r}: expected host:port")
    if len(set(workers)) < len(workers):
        expected = "expected another address for each worker"
        raise InputError(f"TF_CONFIG: {', '.join(workers)}: {expected}")


def wait_for_workers(cluster: Cluster, *, timeout_s: float) -> None:
    """Return once every worker listens on its address; TensorFlow itself would wait for an hour.

    Meanwhile this worker listens on its own. Raises InputError if that address is taken, and
    ConnectionError with the workers that do not answer in `timeout_s` seconds.
    """
    deadline, own = time.monotonic() + timeout_s, cluster.workers[cluster.index]
    silent = [address for address in cluster.workers if address != own]
    with _listening(own):
        while silent := [address for address in silent if not _answers(address)]:
            if time.monotonic() > deadline:
                raise ConnectionError(
                    f"TF_CONFIG: no answer from {', '.join(silent)} in {timeout_s:g} s; start the "
                    "same command on every worker, or wait longer with --worker_timeout_s"
                )
            time.sleep(_RETRY_S)


def _listening(address: str) -> socket.socket:
    port = int(address.rpartition(":")[2])
    try:
        # The same addresses that TensorFlow's server listens on.
        return socket.create_server(("", port), backlog=128)
    except OSError as error:
        problem = f"cannot listen on port {port} of {address} ({error.strerror})"
        remedy = "choose another port, or end the process that has it"
        raise InputError(f"TF_CONFIG: {problem}; {remedy}") from error


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=1).close()
    except OSError:
        return False
    return True
