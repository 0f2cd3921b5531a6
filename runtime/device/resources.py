"""The CPU cores and the memory that this process may use.

onnxruntime counts the cores of the whole machine. In a container that may use two of 64 processors
it starts 64 threads, which then wait for each other; under taskset it even pins them to processors
that the process may not use. Linux alone shows these limits. Elsewhere the functions say that they
do not know. `root` is the folder that holds proc and sys.
"""

import contextlib
import ctypes
import math
import os
import sys
from collections.abc import Iterable, Iterator, Set
from pathlib import Path

ROOT = Path("/")

# Where Linux mounts its control groups, which limit what a container may use.
_GROUPS = "sys/fs/cgroup"

# The files of a memory limit and of the memory in use, in version 2 and version 1 of the groups.
_MEMORY_LIMITS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


def default_threads() -> int:
    """Return the number of physical cores that this process may use, or 0 where that is unknown.

    For 0 onnxruntime counts the cores itself.
    """
    if not hasattr(os, "sched_getaffinity"):  # Windows and macOS
        return 0
    return usable_cores(ROOT, os.sched_getaffinity(0))


def usable_cores(root: Path, processors: Set[int]) -> int:
    """Count the physical cores among `processors`, but no more than the container's CPU time.

    A limit of one and a half processors counts as two.
    """
    return max(1, min([physical_cores(processors, root), *map(math.ceil, _cpu_limits(root))]))


def physical_cores(processors: Iterable[int], root: Path = ROOT) -> int:
    """Count the cores of processors: two threads of one core count once."""
    # All threads of a core have the same list of siblings.
    topology = root / "sys/devices/system/cpu"
    files = {n: topology / f"cpu{n}/topology/thread_siblings_list" for n in processors}
    return len({_read(file).strip() or str(n) for n, file in files.items()})


def peak_bytes(root: Path = ROOT) -> int | None:
    """Return the most memory that this process has had resident, or None if that is unknown."""
    # Linux's getrusage comes second: it counts what the parent held when it started this process.
    own = _kernel_bytes(root / "proc/self/status", "VmHWM:")
    if own is not None:
        return own
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def available_bytes(root: Path = ROOT) -> int | None:
    """Return the memory that is left without swapping, or None if that is unknown.

    The system and the container both set limits; the smaller one counts.
    """
    groups, available = root / _GROUPS, _kernel_bytes(root / "proc/meminfo", "MemAvailable:")
    limits = [] if available is None else [available]
    for limit, used in _MEMORY_LIMITS:
        with contextlib.suppress(ValueError):  # "max", or no such file
            limits.append(max(0, int(_read(groups / limit)) - int(_read(groups / used))))
    return min(limits, default=None)


def trim_memory() -> None:
    """Return freed memory to the system: Linux's glibc keeps as much as was ever used."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # other C libraries
            ctypes.CDLL(None).malloc_trim(0)


def _cpu_limits(root: Path) -> Iterator[float]:
    """Yield the limits, in processors, of this process's control group and the groups around it.

    In a container the name of a group may still be the host's path, although the container sees
    its own group as the topmost: then only the last folder exists.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        hierarchy, controllers, group = line.split(":", 2)
        if hierarchy != "0" and "cpu" not in controllers.split(","):
            continue
        topmost = root / _GROUPS / controllers
        folder = topmost / group.strip("/")
        for place in (folder, *folder.parents):
            if place.is_relative_to(topmost) and (limit := _cpu_limit(place)):
                yield limit


def _cpu_limit(folder: Path) -> float | None:
    """Read a limit like "200000 100000", microseconds of CPU time in each period.

    Version 2 of the groups has one file for both numbers, version 1 has two.
    """
    files = ("cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us")
    try:
        quota, period = map(int, " ".join(_read(folder / file) for file in files).split())
    except ValueError:  # "max", or no such file
        return None
    return quota / period if quota > 0 and period > 0 else None


def _kernel_bytes(file: Path, name: str) -> int | None:
    """Return the kilobytes beside `name` in one of Linux's tables, as bytes."""
    kilobytes = (line.split()[1] for line in _read(file).splitlines() if line.startswith(name))
    return next((1024 * int(number) for number in kilobytes), None)


def _read(file: Path) -> str:
    """Return a file's text, or nothing if it cannot be read."""
    try:
        return file.read_text()
    except OSError:
        return ""
