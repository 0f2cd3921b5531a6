"""The machine that a benchmark ran on, without which its figures mean nothing."""

import contextlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from ..device.resources import physical_cores


def machine() -> dict[str, Any]:
    """Describe the processor, its cores, the GPUs and the system; None where unknown.

    `usable_cores` are the logical cores that this process may run on.
    """
    gpus = _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()
    linux = hasattr(os, "sched_getaffinity")
    return {
        "processor": _processor(),
        "physical_cores": _physical_cores(),
        "logical_cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if linux else os.cpu_count(),
        "gpus": [name.strip() for name in gpus if name.strip()],
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of the packages that are installed."""
    installed = {}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            installed[package] = metadata.version(package)
    return installed


def _physical_cores() -> int | None:
    if sys.platform == "darwin":
        return int(_output("sysctl", "-n", "hw.physicalcpu") or 0) or None
    return physical_cores(range(os.cpu_count() or 1)) if sys.platform == "linux" else None


def _processor() -> str | None:
    if sys.platform == "darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    with contextlib.suppress(OSError):
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        if name := re.search(r"^model name\s*: (.+)$", cpuinfo, re.MULTILINE):
            return name[1].strip()
    return platform.processor() or platform.machine() or None


def _output(program: str, *arguments: str) -> str:
    """Return what a program prints, or nothing if it is missing or fails."""
    command = [program, *arguments]
    try:
        text = subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    return text.strip()
