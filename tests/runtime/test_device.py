"""What keeps CUDA from being used is named exactly; `auto` says it once."""

import logging
import re

import pytest

from diffkiln.runtime import DeviceError
from diffkiln.runtime.device import (
    CPU_PROVIDER,
    CUDA_PROVIDER,
    cpu_instead,
    obstacle,
    require_device,
    usable_device,
)

BOTH = (CUDA_PROVIDER, CPU_PROVIDER)


def test_nothing_is_in_the_way() -> None:
    assert obstacle(BOTH, 1) is None


@pytest.mark.parametrize(
    ("available_providers", "gpu_count", "message"),
    [
        (
            (CPU_PROVIDER,),
            1,
            "no CUDA provider; run pip uninstall onnxruntime.* pip install 'diffkiln.gpu.'",
        ),
        (BOTH, None, "NVIDIA driver .* cannot be loaded; install the driver"),
        (BOTH, 0, "shows no GPU; check nvidia-smi, CUDA_VISIBLE_DEVICES"),
    ],
)
def test_the_first_obstacle_is_named(
    available_providers: tuple[str, ...], gpu_count: int | None, message: str
) -> None:
    assert re.search(message, obstacle(available_providers, gpu_count) or "")


def test_the_cpu_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert usable_device("cpu") == "cpu"
    assert not caplog.records


def test_an_unknown_device() -> None:
    with pytest.raises(DeviceError, match="device='tpu': expected one of auto, cpu, cuda"):
        usable_device("tpu")


def test_a_session_that_got_what_it_wanted() -> None:
    require_device("cuda", BOTH)
    require_device("cpu", (CPU_PROVIDER,))


def test_a_session_that_fell_back_is_refused() -> None:
    with pytest.raises(DeviceError, match=r"cannot be loaded; run pip install 'diffkiln\[gpu\]'"):
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
