"""Threads are counted by the cores that a process may use, not by those of the machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from diffkiln.runtime.device.resources import default_threads, usable_cores


def machine(root: Path, cores: int, *, siblings: int = 1) -> set[int]:
    """Write the topology of a machine; its processors. Linux numbers second siblings last."""
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
    assert usable_cores(tmp_path, machine(tmp_path, 8, siblings=2)) == 8


def test_only_processors_of_the_process_count(tmp_path: Path) -> None:
    machine(tmp_path, 8, siblings=2)
    assert usable_cores(tmp_path, {0, 1, 8, 9}) == 2
    assert usable_cores(tmp_path, {15}) == 1


def test_a_machine_that_tells_nothing_has_as_many_cores_as_processors(tmp_path: Path) -> None:
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


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux")
def test_this_machine() -> None:
    assert 1 <= default_threads() <= len(os.sched_getaffinity(0))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_a_process_that_was_kept_to_one_processor() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        "from diffkiln.runtime.device.resources import default_threads; print(default_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
