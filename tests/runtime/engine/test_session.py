"""What a caller chooses reaches onnxruntime, and a session never runs elsewhere than it says."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from diffkiln.runtime import DeviceError, open_bundle
from diffkiln.runtime.bundle.graph import Graph
from diffkiln.runtime.device.cuda import find_driver
from diffkiln.runtime.device.device import CUDA_PROVIDER
from diffkiln.runtime.engine.session import SessionSettings, create_session

CPU = SessionSettings(device="cpu")


@pytest.fixture(scope="module")
def denoiser(tiny_bundle: Path) -> Graph:
    return open_bundle(tiny_bundle).graph("denoiser")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"device": "tpu"}, "device='tpu': expected one of auto, cpu, cuda"),
        ({"threads": 0}, "threads=0: expected a whole number from 1 to 1024"),
        ({"threads": True}, "threads=True: expected a whole number"),
        ({"low_power": "no"}, "low_power='no': expected True or False"),
        ({"tf32": None}, "tf32=None: expected True or False"),
    ],
)
def test_settings_are_checked(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SessionSettings(**wrong)


def test_a_session_knows_its_inputs_and_its_device(denoiser: Graph) -> None:
    session = create_session(denoiser, CPU)
    assert (session.inputs, session.device, session.replays) == (["noisy", "time"], "cpu", False)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_a_session_has_as_many_threads_as_were_asked_for(tiny_bundle: Path) -> None:
    """One is the caller's. The default is one for each core of the process, which has one here."""
    code = f"""
import os
os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
from diffkiln.runtime import open_bundle
from diffkiln.runtime.engine.session import SessionSettings, create_session
graph = open_bundle({str(tiny_bundle)!r}).graph("denoiser")
sessions = []
for threads in (1, 3, None):
    before = len(os.listdir("/proc/self/task"))
    sessions.append(create_session(graph, SessionSettings("cpu", threads)))
    print(1 + len(os.listdir("/proc/self/task")) - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "3", "1"]


@pytest.mark.parametrize(("low_power", "spins"), [(False, "1"), (True, "0")])
def test_with_low_power_a_thread_sleeps_at_once(
    denoiser: Graph, low_power: bool, spins: str
) -> None:
    session = create_session(denoiser, SessionSettings("cpu", low_power=low_power))
    options = session._session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == spins
    # Otherwise it sleeps after 0.2 ms; benchmarks/session_options.py measures what that is worth.
    assert options.get_session_config_entry("session.intra_op.spin_duration_us") == "200"


def test_low_power_draws_the_same(denoiser: Graph) -> None:
    feeds = {"noisy": np.ones((2, 16, 16, 3), np.float32), "time": np.full(2, 0.5, np.float32)}
    outputs = [
        create_session(denoiser, SessionSettings("cpu", low_power=low_power)).run(feeds)
        for low_power in (False, True)
    ]
    assert all(map(np.array_equal, *outputs))


def test_a_session_follows_the_first_to_its_device(denoiser: Graph) -> None:
    assert create_session(denoiser, SessionSettings("auto"), "cpu").device == "cpu"


@pytest.mark.skipif(
    CUDA_PROVIDER in onnxruntime.get_available_providers() and find_driver() is not None,
    reason="this one might get CUDA",
)
def test_a_session_that_cannot_follow_the_first_to_a_gpu_is_refused(denoiser: Graph) -> None:
    with pytest.raises(DeviceError, match="device='cuda' cannot be used: "):
        create_session(denoiser, SessionSettings("auto"), "cuda")


def test_cuda_is_never_replaced(denoiser: Graph) -> None:
    try:
        assert create_session(denoiser, SessionSettings("cuda")).device == "cuda"
    except DeviceError as error:
        assert "device='cuda' cannot be used: " in str(error)  # noqa: PT017


@pytest.mark.parametrize("graph", ["sampler", "from_noise", "noise", "step", "denoiser"])
def test_any_graph_can_be_warmed_up(tiny_bundle: Path, graph: str) -> None:
    session = create_session(open_bundle(tiny_bundle).graph(graph), CPU)
    session.warm_up(1)
    session.warm_up(3)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the most memory from /proc")
def test_memory_does_not_grow_with_the_number_of_batch_sizes(tiny_bundle: Path) -> None:
    """After one run of each size, the arena is large enough for a hundred more runs."""
    code = f"""
import numpy as np
from diffkiln.runtime import open_bundle
from diffkiln.runtime.engine.session import SessionSettings, create_session
graph = open_bundle({str(tiny_bundle)!r}).graph("sampler")
session = create_session(graph, SessionSettings("cpu"))
sizes = [1 + 5 * index % 12 for index in range(112)]
resident = []
for size in sizes:
    session.run({{"seeds": np.arange(size), "steps": np.array(1)}})
    resident.append(int(open("/proc/self/statm").read().split()[1]))
print(resident[-1] / max(resident[:12]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.05
