"""Cores and memory are those that the process may use, not those of the machine."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from diffkiln.runtime.device.resources import (
    available_bytes,
    default_threads,
    peak_bytes,
    physical_cores,
    usable_cores,
)


def machine(root: Path, cores: int, *, siblings: int = 1) -> set[int]:
    """Write the topology of a machine; return its processors, numbered as Linux does."""
    processors = set(range(cores * siblings))
    for processor in processors:
        topology = root / f"sys/devices/system/cpu/cpu{processor}/topology"
        topology.mkdir(parents=True)
        shared = range(processor % cores, cores * siblings, cores)
        (topology / "thread_siblings_list").write_text(",".join(map(str, shared)) + "\n")
    return processors


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_the_two_threads_of_a_core_count_once(tmp_path: Path) -> None:
    processors = machine(tmp_path, 8, siblings=2)
    assert physical_cores(processors, tmp_path) == usable_cores(tmp_path, processors) == 8


def test_only_processors_of_the_process_count(tmp_path: Path) -> None:
    machine(tmp_path, 8, siblings=2)
    assert usable_cores(tmp_path, {0, 1, 8, 9}) == 2
    assert usable_cores(tmp_path, {15}) == 1


def test_without_topology_every_processor_is_a_core(tmp_path: Path) -> None:
    assert usable_cores(tmp_path, {0, 1, 2}) == 3


@pytest.mark.parametrize(
    ("limit", "threads"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("6400000 100000", 8),
        ("nonsense", 8),
        ("", 8),
    ],
)
def test_a_limit_of_version_2(tmp_path: Path, limit: str, threads: int) -> None:
    processors = machine(tmp_path, 8)
    write(tmp_path, "proc/self/cgroup", "0::/service\n")
    write(tmp_path, "sys/fs/cgroup/service/cpu.max", limit + "\n")
    assert usable_cores(tmp_path, processors) == threads


def test_the_tightest_of_nested_limits_counts(tmp_path: Path) -> None:
    processors = machine(tmp_path, 8)
    write(tmp_path, "proc/self/cgroup", "0::/all/of/them\n")
    write(tmp_path, "sys/fs/cgroup/all/cpu.max", "300000 100000\n")
    write(tmp_path, "sys/fs/cgroup/all/of/them/cpu.max", "max 100000\n")
    assert usable_cores(tmp_path, processors) == 3


def test_a_container_that_sees_its_group_as_the_topmost(tmp_path: Path) -> None:
    processors = machine(tmp_path, 8)
    write(tmp_path, "proc/self/cgroup", "0::/../../docker/0123abcd\n")
    write(tmp_path, "sys/fs/cgroup/cpu.max", "400000 100000\n")
    assert usable_cores(tmp_path, processors) == 4


@pytest.mark.parametrize(("quota", "threads"), [("-1", 8), ("250000", 3)])
def test_a_limit_of_version_1(tmp_path: Path, quota: str, threads: int) -> None:
    processors = machine(tmp_path, 8)
    write(tmp_path, "proc/self/cgroup", "5:memory:/job\n3:cpu,cpuacct:/job\n0::/\n")
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", quota + "\n")
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n")
    assert usable_cores(tmp_path, processors) == threads


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_a_process_on_one_processor_has_one_thread() -> None:
    processors = os.sched_getaffinity(0)
    assert 1 <= default_threads() <= len(processors)
    os.sched_setaffinity(0, {min(processors)})
    try:
        assert default_threads() == 1
    finally:
        os.sched_setaffinity(0, processors)


def test_without_affinities_onnxruntime_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert default_threads() == 0


MEMINFO = {"proc/meminfo": "MemTotal: 64 kB\nMemAvailable:   8192 kB\n"}
GROUPS = "sys/fs/cgroup/"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        (MEMINFO, 8192 * 1024),
        (MEMINFO | {GROUPS + "memory.max": "5000\n", GROUPS + "memory.current": "2000\n"}, 3000),
        (MEMINFO | {GROUPS + "memory.max": "max\n", GROUPS + "memory.current": "2000\n"}, 8388608),
        (
            {
                GROUPS + "memory/memory.limit_in_bytes": "70",
                GROUPS + "memory/memory.usage_in_bytes": "90",
            },
            0,
        ),
    ],
)
def test_available_memory(tmp_path: Path, files: dict[str, str], expected: int | None) -> None:
    for name, text in files.items():
        write(tmp_path, name, text)
    assert available_bytes(tmp_path) == expected


def peak_elsewhere(*statements: str) -> int:
    """Return the peak memory, in bytes, of another process that has run these statements."""
    lines = [
        *statements,
        "from diffkiln.runtime.device.resources import peak_bytes",
        "print(peak_bytes())",
    ]
    return int(subprocess.check_output([sys.executable, "-c", "\n".join(lines)], text=True))


@pytest.mark.slow
def test_the_peak_is_of_the_process_alone() -> None:
    held = np.ones(4 * 10**8, np.uint8)
    # onnxruntime is not imported: Python and NumPy take some 40 MB.
    assert 2**20 < peak_elsewhere() < held.nbytes / 4


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory is counted otherwise")
def test_eight_pictures_take_little_memory() -> None:
    drawing = "Sampler(device='cpu').sample(8, steps=2)"
    assert peak_elsewhere("from diffkiln.runtime import Sampler", drawing) < 400e6


def test_without_proc_the_peak_is_that_of_getrusage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource", reason="Windows has no getrusage")
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    monkeypatch.setattr(sys, "platform", "linux")
    assert peak_bytes(tmp_path) == 1024 * kilobytes
    monkeypatch.setattr(sys, "platform", "darwin")  # which counts bytes
    assert peak_bytes(tmp_path) == kilobytes


def test_without_getrusage_the_peak_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert peak_bytes(tmp_path) is None
