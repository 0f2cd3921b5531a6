"""How many threads suit this process: one for each physical core that it may use.

onnxruntime's own count looks at the machine alone. In a container that may use two of 64 processors
it starts 64 threads, which then wait for each other; under taskset it even pins them to processors
that the process was kept off.
"""

import math
import os
from collections.abc import Iterator, Set
from pathlib import Path

# What each version of Linux's control groups calls its limit, below where it is mounted.
_GROUPS = "sys/fs/cgroup"


def default_threads() -> int:
    """The physical cores that this process may use; 0, onnxruntime's count, where nothing tells."""
    if not hasattr(os, "sched_getaffinity"):  # neither Windows nor macOS has what is read here
        return 0
    return usable_cores(Path("/"), os.sched_getaffinity(0))


def usable_cores(root: Path, processors: Set[int]) -> int:
    """Count the physical cores among `processors`, but no more than the container's CPU time.

    `root` is where proc and sys are found. A limit of one and a half processors counts as two.
    """
    cores = len({_core(root, processor) for processor in processors})
    return max(1, min([cores, *(math.ceil(limit) for limit in _limits(root))]))


def _core(root: Path, processor: int) -> str:
    """Name the core of a processor by all the processors that share it."""
    topology = root / f"sys/devices/system/cpu/cpu{processor}/topology"
    try:
        return (topology / "thread_siblings_list").read_text().strip()
    except OSError:
        return str(processor)


def _limits(root: Path) -> Iterator[float]:
    """Yield the limits, in processors, of this process's control group and of those around it."""
    for version, controllers, group in _memberships(root):
        for folder in _upwards(root / _GROUPS / controllers, group):
            limit = _version_2(folder) if version == 2 else _version_1(folder)
            if limit is not None:
                yield limit


def _memberships(root: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (version, folder of the controllers, group) of the groups that limit CPU time."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        hierarchy, controllers, group = line.split(":", 2)
        if hierarchy == "0":
            yield 2, "", group
        elif "cpu" in controllers.split(","):
            yield 1, controllers, group


def _upwards(mounted: Path, group: str) -> Iterator[Path]:
    """Yield the folder of a group and those above it up to where groups are mounted.

    A container may see its own group as the topmost, though its name still has the host's path:
    then only the latter folder exists.
    """
    folder = mounted / group.strip("/")
    yield folder
    while folder != mounted and mounted in folder.parents:
        folder = folder.parent
        yield folder


def _version_2(folder: Path) -> float | None:
    """Read "200000 100000": so many microseconds of CPU time in so many of time; "max" is none."""
    words = _read(folder / "cpu.max").split()
    return _ratio(*words) if len(words) == 2 else None


def _version_1(folder: Path) -> float | None:
    return _ratio(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    try:
        numerator, denominator = int(quota), int(period)
    except ValueError:  # "max", or no such file
        return None
    return numerator / denominator if numerator > 0 and denominator > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
