"""Sampling with OpenVINO draws the CPU's images, or says that it is unavailable."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from diffkiln.runtime import DeviceError, Sampler
from diffkiln.runtime.device.device import OPENVINO_PROVIDER

THERE = OPENVINO_PROVIDER in onnxruntime.get_available_providers()
needs_openvino = pytest.mark.skipif(not THERE, reason="needs onnxruntime-openvino")


@pytest.fixture(scope="module")
def samplers(tiny_bundle: Path) -> tuple[Sampler, Sampler]:
    openvino = Sampler(tiny_bundle, device="openvino", max_batch=2)
    return openvino, Sampler(tiny_bundle, device="cpu", max_batch=2)


def difference(images: np.ndarray, expected: np.ndarray) -> int:
    return int(np.abs(images.astype(int) - expected).max())


@pytest.mark.skipif(THERE, reason="needs an onnxruntime without OpenVINO")
def test_without_the_provider(tiny_bundle: Path) -> None:
    with pytest.raises(
        DeviceError, match=r"no OpenVINO provider; .* pip install onnxruntime-openvino"
    ):
        Sampler(tiny_bundle, device="openvino")


@needs_openvino
def test_the_images_are_those_of_the_cpu(samplers: tuple[Sampler, Sampler]) -> None:
    openvino, cpu = samplers
    assert openvino.device == "openvino"
    images = cpu.sample(5, steps=4)
    # Another order of the same sums: a pixel may round to the next of the 255 levels.
    assert difference(openvino.sample(5, steps=4), images) <= 1
    assert difference(np.concatenate(list(openvino.batches(5, steps=4))), images) <= 1
    assert difference(openvino.trajectory(5, steps=4)[-1], images) <= 1
    noise = cpu.run("noise", {"seeds": np.arange(5)})[0]
    assert difference(openvino.from_noise(noise, steps=4), images) <= 1
    assert difference(openvino.interpolate(0, 4, 3, steps=4)[[0, 2]], images[[0, 4]]) <= 1


@needs_openvino
def test_the_step_runs_with_openvino(samplers: tuple[Sampler, Sampler]) -> None:
    openvino, _ = samplers
    openvino.warm_up(1)
    session = openvino._engine.session("step")._session
    assert session.get_providers()[0] == OPENVINO_PROVIDER


@needs_openvino
def test_classes(class_bundle: Path) -> None:
    openvino, cpu = (
        Sampler(class_bundle, device=device, max_batch=4) for device in ("openvino", "cpu")
    )
    # One evaluation in a step, two with guidance, and one again: sessions keep state.
    for guidance in (1.0, 2.5, 1.0):
        wanted = {"steps": 3, "labels": [2, 0, 1, -1, 2], "guidance": guidance}
        assert difference(openvino.sample(5, **wanted), cpu.sample(5, **wanted)) <= 1


@pytest.mark.slow
@needs_openvino
def test_the_benchmark(tiny_bundle: Path, class_bundle: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    bundles = f"--bundle={tiny_bundle},{class_bundle}"
    settings = ["--variants=loop,stepwise", "--batch_sizes=2", "--steps=2", "--rounds=2"]
    command = [sys.executable, "-m", "diffkiln.runtime.bench.benchmark", bundles, *settings]
    done = subprocess.run(
        [*command, "--device=openvino", f"--json={figures}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(figures.read_text())["rows"]
    # OpenVINO does not support the Loop, so the benchmark goes step by step.
    assert [(row["variant"], row["provider"]) for row in rows] == [
        ("stepwise", OPENVINO_PROVIDER)
    ] * 2
