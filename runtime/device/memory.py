"""How much memory this process has used at most, and how much more it could have."""

import sys
from pathlib import Path

# Files of memory limits inside a container: version 2 and version 1 of Linux's control groups.
_CONTAINER_LIMITS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


def peak_bytes() -> int | None:
    """The most memory that this process has had resident so far; None where nothing tells."""
    # First, since Linux's getrusage counts what the parent held when it started this process.
    own = _kernel_bytes(Path("/proc/self/status"), "VmHWM:")
    if own is not None:
        return own
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def available_bytes(root: Path = Path("/")) -> int | None:
    """What can be had without swapping, by the system's or the container's limit; None if unknown.

    `root` is where proc and sys are found.
    """
    known = [_kernel_bytes(root / "proc/meminfo", "MemAvailable:")]
    groups = root / "sys/fs/cgroup"
    known += [_left_bytes(groups / limit, groups / used) for limit, used in _CONTAINER_LIMITS]
    return min((number for number in known if number is not None), default=None)


def _kernel_bytes(file: Path, name: str) -> int | None:
    """What stands, in kilobytes, beside `name` in one of Linux's tables."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    kilobytes = (line.split()[1] for line in lines if line.startswith(name))
    return next((1024 * int(number) for number in kilobytes), None)


def _left_bytes(limit: Path, used: Path) -> int | None:
    try:
        return max(0, int(limit.read_text()) - int(used.read_text()))
    except (OSError, ValueError):  # no such group, or "max"
        return None
