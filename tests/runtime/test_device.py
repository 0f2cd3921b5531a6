"""What keeps CUDA from being used is named exactly; `auto` says it once."""

import logging
import re

import pytest

from diffkiln.runtime import DeviceError
from diffkiln.runtime.device import (
    CPU_PROVIDER,
    CUDA_PROVIDER,
    Findings,
    confirm_providers,
    obstacle,
    providers_for,
)

BOTH = (CUDA_PROVIDER, CPU_PROVIDER)
READY = Findings(available_providers=BOTH, driver_loads=True, gpu_count=1)


def test_nothing_is_in_the_way() -> None:
    assert obstacle(READY) is None


@pytest.mark.parametrize(
    ("findings", "message"),
    [
        (
            Findings(available_providers=(CPU_PROVIDER,), driver_loads=True, gpu_count=1),
            "no CUDA provider; run pip uninstall onnxruntime.* pip install diffkiln.gpu.",
        ),
        (
            Findings(available_providers=BOTH, driver_loads=False, gpu_count=0),
            "NVIDIA driver .* cannot be loaded; install the driver",
        ),
        (
            Findings(available_providers=BOTH, driver_loads=True, gpu_count=0),
            "shows no GPU; check nvidia-smi, CUDA_VISIBLE_DEVICES",
        ),
        (
            Findings(
                available_providers=BOTH,
                driver_loads=True,
                gpu_count=1,
                unloadable=("libcudnn.so.9",),
                session_providers=(CPU_PROVIDER,),
            ),
            "libcudnn.so.9 cannot be loaded; run pip install diffkiln.gpu.",
        ),
        (
            Findings(
                available_providers=BOTH,
                driver_loads=True,
                gpu_count=1,
                session_providers=(CPU_PROVIDER,),
            ),
            "a CUDA or cuDNN library cannot be loaded",
        ),
    ],
)
def test_the_first_obstacle_is_named(findings: Findings, message: str) -> None:
    assert re.search(message, obstacle(findings) or "")


def test_a_session_on_cuda_is_no_obstacle() -> None:
    findings = Findings(
        available_providers=BOTH, driver_loads=True, gpu_count=1, session_providers=BOTH
    )
    assert obstacle(findings) is None


def test_the_cpu_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    assert providers_for("cpu") == [CPU_PROVIDER]
    assert not caplog.records


def test_an_unknown_device() -> None:
    with pytest.raises(DeviceError, match="device='tpu': expected one of auto, cpu, cuda"):
        providers_for("tpu")


def test_a_session_that_got_what_it_wanted() -> None:
    wanted = [(CUDA_PROVIDER, {"device_id": "0"}), CPU_PROVIDER]
    assert confirm_providers("cuda", wanted=wanted, session_providers=BOTH) == wanted


def test_a_session_that_fell_back_is_refused() -> None:
    wanted = [(CUDA_PROVIDER, {"device_id": "0"}), CPU_PROVIDER]
    with pytest.raises(DeviceError, match=r"device='cuda' cannot be used: .* or use"):
        confirm_providers("cuda", wanted=wanted, session_providers=(CPU_PROVIDER,))


def test_auto_warns_once_in_a_process(caplog: pytest.LogCaptureFixture) -> None:
    wanted = [(CUDA_PROVIDER, {"device_id": "0"}), CPU_PROVIDER]
    with caplog.at_level(logging.WARNING, "diffkiln.runtime"):
        for _ in range(3):
            chosen = confirm_providers("auto", wanted=wanted, session_providers=(CPU_PROVIDER,))
            assert chosen == [CPU_PROVIDER]
    # Another test of this process may have used up the one warning.
    assert len(caplog.records) <= 1
