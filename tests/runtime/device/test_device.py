"""What keeps CUDA from being used is named exactly, and only once for `auto`."""

import logging
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import onnxruntime
import pytest

from diffkiln.runtime import DeviceError
from diffkiln.runtime.device.cuda import Driver, Gpu, find_driver
from diffkiln.runtime.device.device import (
    CPU_PROVIDER,
    CUDA_PROVIDER,
    cpu_instead,
    obstacle,
    require_device,
    usable_device,
)

BOTH = (CUDA_PROVIDER, CPU_PROVIDER)
A100, V100 = Gpu("NVIDIA A100", (8, 0)), Gpu("Tesla V100", (7, 0))


def test_new_enough_drivers_and_gpus_are_no_obstacle() -> None:
    assert obstacle(BOTH, Driver((13, 0), (A100,)), "13.0") is None
    assert obstacle(BOTH, Driver((13, 0), (V100,)), "12.8") is None
    assert obstacle(BOTH, Driver(None, (A100,)), "") is None


@pytest.mark.parametrize(
    ("available_providers", "driver", "message"),
    [
        (
            (CPU_PROVIDER,),
            Driver((13, 0), (A100,)),
            "no CUDA provider; run pip uninstall .* pip install 'onnxruntime-gpu.cuda,cudnn.'",
        ),
        (BOTH, None, "NVIDIA driver .* cannot be loaded; install the driver"),
        (BOTH, Driver((13, 0), error=3), "CUDA was used before this process was forked"),
        (BOTH, Driver((13, 0), error=803), r"does not start \(CUDA error 803\); check nvidia-smi"),
        (BOTH, Driver((13, 0)), "shows no GPU; check nvidia-smi, CUDA_VISIBLE_DEVICES"),
        (
            BOTH,
            Driver((12, 4), (A100,)),
            "driver runs CUDA up to 12.4, but onnxruntime was built for CUDA 13.0; update the",
        ),
        (
            BOTH,
            Driver((13, 0), (V100, A100)),  # the first one is used
            "Tesla V100 has compute capability 7.0, but onnxruntime for CUDA 13.0 needs 7.5",
        ),
    ],
)
def test_the_first_obstacle_is_named(
    available_providers: tuple[str, ...], driver: Driver | None, message: str
) -> None:
    assert re.search(message, obstacle(available_providers, driver, "13.0") or "")


# A driver with two GPUs, as cuda.h declares it; START and CUDA are environment variables.
DRIVER_SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
int cuInit(unsigned flags) { return atoi(getenv("START")); }
int cuDriverGetVersion(int *version) { *version = atoi(getenv("CUDA")); return 0; }
int cuDeviceGetCount(int *count) { *count = 2; return 0; }
int cuDeviceGet(int *device, int index) { *device = 40 + index; return 0; }
int cuDeviceGetName(char *name, int length, int device) {
  return snprintf(name, length, "GPU %d", device) < 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  *value = attribute == 75 ? 8 : attribute == 76 ? device - 40 : -1;
  return 0;
}
"""


NEEDS_COMPILER = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="builds a driver for Linux"
)
NEEDS_GPU_BUILD = pytest.mark.skipif(
    CUDA_PROVIDER not in onnxruntime.get_available_providers(), reason="needs onnxruntime-gpu"
)


def run_with_driver(folder: Path, code: str) -> str:
    """Return what a process prints that finds this driver."""
    (folder / "driver.c").write_text(DRIVER_SOURCE)
    options = ("-shared", "-fPIC", "-o", "libcuda.so.1")
    subprocess.run(["cc", *options, "driver.c"], cwd=folder, check=True)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "LD_LIBRARY_PATH": str(folder), "START": "0", "CUDA": "13000"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.slow
@NEEDS_COMPILER
def test_the_driver_is_asked(tmp_path: Path) -> None:
    code = """
import os
from diffkiln.runtime.device.cuda import find_driver
os.environ["CUDA"] = "12040"
for start in ("0", "100", "999"):
    os.environ["START"] = start
    print(find_driver())
"""
    drivers = [
        Driver((12, 4), (Gpu("GPU 40", (8, 0)), Gpu("GPU 41", (8, 1)))),
        Driver((12, 4)),
        Driver((12, 4), error=999),
    ]
    assert run_with_driver(tmp_path, code).splitlines() == list(map(str, drivers))


@pytest.mark.slow
@NEEDS_COMPILER
@NEEDS_GPU_BUILD
@pytest.mark.skipif(find_driver() is not None, reason="needs a machine without NVIDIA's driver")
@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_a_gpu_whose_libraries_are_missing(tiny_bundle: Path, tmp_path: Path, device: str) -> None:
    """onnxruntime itself would create a session on the CPU, with only a line in its log."""
    code = f"""
import logging, sys
logging.basicConfig(stream=sys.stdout)
from diffkiln.runtime import DeviceError, Sampler
try:
    sampler = Sampler({str(tiny_bundle)!r}, device={device!r})
    sampler.sample(1, steps=1)
    print("ran on", sampler.device)
except DeviceError as error:
    print(error)
"""
    printed = run_with_driver(tmp_path, code)
    if device == "cuda":
        assert printed.startswith("device='cuda' cannot be used: ")
    else:
        assert "using the CPU although there is an NVIDIA GPU: " in printed
        assert printed.endswith("ran on cpu")
    if find_spec("nvidia") is None:
        assert re.search(
            r"libcublas.* cannot be loaded; run pip install 'onnxruntime-gpu.cuda,cudnn.'", printed
        )


def test_the_cpu_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert usable_device("cpu") == "cpu"
    assert not caplog.records


def test_a_session_on_its_device_is_accepted() -> None:
    require_device("cuda", BOTH)
    require_device("cpu", (CPU_PROVIDER,))


def test_a_session_that_fell_back_is_refused() -> None:
    with pytest.raises(
        DeviceError, match=r"cannot be loaded; run pip install 'onnxruntime-gpu\[cuda,cudnn\]'"
    ):
        require_device("cuda", (CPU_PROVIDER,))


def test_cuda_is_never_replaced_by_the_cpu() -> None:
    with pytest.raises(DeviceError, match="device='cuda' cannot be used: why; or use device='cpu'"):
        cpu_instead("cuda", "why")


@pytest.mark.parametrize(
    ("gpu", "level", "text"),
    [
        (True, logging.WARNING, "using the CPU although there is an NVIDIA GPU: a reason"),
        (False, logging.INFO, "using the CPU: a reason"),
    ],
)
def test_auto_says_once_why_it_uses_the_cpu(
    caplog: pytest.LogCaptureFixture, gpu: bool, level: int, text: str
) -> None:
    with caplog.at_level(logging.INFO, "diffkiln.runtime"):
        assert [cpu_instead("auto", "a reason", gpu=gpu) for _ in range(3)] == ["cpu"] * 3
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [(level, text)]


@NEEDS_GPU_BUILD
@pytest.mark.skipif(find_driver() is not None, reason="needs a machine without NVIDIA's driver")
def test_the_gpu_build_on_a_machine_without_a_gpu(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DeviceError, match=r"the NVIDIA driver .* cannot be loaded; install"):
        usable_device("cuda")
    with caplog.at_level(logging.INFO, "diffkiln.runtime"):
        assert usable_device("auto") == "cpu"
    assert all(record.levelno == logging.INFO for record in caplog.records)
