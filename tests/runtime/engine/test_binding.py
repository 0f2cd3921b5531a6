"""Tensors that stay on the device, and kernels that are replayed, draw the same images.

The CPU runs the code for a GPU here; the tests marked `gpu` need one.
"""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from diffkiln.runtime import RunError, Sampler, open_bundle
from diffkiln.runtime.device.cuda import find_driver
from diffkiln.runtime.device.device import CUDA_PROVIDER
from diffkiln.runtime.engine.binding import MAX_SHAPES, Replay, run_kept
from diffkiln.runtime.engine.session import Session, SessionSettings, create_session

STEPS = np.array(2)
NO_GPU = CUDA_PROVIDER not in onnxruntime.get_available_providers() or not find_driver()


def noise(count: int, seed: int = 0) -> np.ndarray:
    shape = (count, 16, 16, 3)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def from_noise(tiny_bundle: Path) -> Session:
    return create_session(open_bundle(tiny_bundle).graph("from_noise"), SessionSettings("cpu"))


@pytest.fixture
def replay(from_noise: Session) -> Replay:
    return Replay(from_noise._session, "cpu")


def drawn(replay: Replay, images: np.ndarray) -> np.ndarray:
    feeds = {"noise": images, "steps": STEPS}
    return replay.run(feeds, onnxruntime.RunOptions())[0]


def kept(session: Session, feeds: dict) -> list[Any]:
    return run_kept(session._session, "cpu", feeds, onnxruntime.RunOptions())


@pytest.fixture(scope="module")
def step(tiny_bundle: Path) -> Session:
    return create_session(open_bundle(tiny_bundle).graph("step"), SessionSettings("cpu"))


def test_kept_outputs_equal_those_of_a_run(step: Session) -> None:
    feeds = {"step": np.array(0), "steps": STEPS, **{name: noise(3) for name in step.inputs[2:]}}
    expected = step.run(feeds)
    *values, last = kept(step, feeds)
    assert [type(value) for value in values] == [onnxruntime.OrtValue] * (len(expected) - 1)
    outputs = [*(value.numpy() for value in values), last]
    assert all(map(np.array_equal, outputs, expected))


def test_kept_outputs_feed_the_next_run(step: Session) -> None:
    first, second = ({"step": np.array(number), "steps": STEPS} for number in (0, 1))
    names = step.inputs[2:]
    *values, _ = kept(step, {**first, **{name: noise(3) for name in names}})
    arrays = [value.numpy().copy() for value in values]
    *_, images = kept(step, {**second, **dict(zip(names, values, strict=True))})
    expected = step.run({**second, **dict(zip(names, arrays, strict=True))})[-1]
    assert np.array_equal(images, expected)


def test_bound_numbers_stay_numbers(class_bundle: Path) -> None:
    """A graph that distinguishes numbers from arrays refuses a step in an array of one."""
    session = create_session(open_bundle(class_bundle).graph("step"), SessionSettings("cpu"))
    feeds = {
        "step": np.array(0),
        "steps": STEPS,
        "noisy": noise(2),
        "labels": np.array([1, 2]),
        "guidance": np.array(2.0, np.float32),
    }
    expected = session.run(feeds)
    *values, images = kept(session, feeds)
    outputs = [*(value.numpy() for value in values), images]
    assert all(map(np.array_equal, outputs, expected))


def test_an_array_in_another_order_of_memory(from_noise: Session, replay: Replay) -> None:
    images = np.asfortranarray(noise(3))
    expected = from_noise.run({"noise": noise(3), "steps": STEPS})[0]
    assert np.array_equal(kept(from_noise, {"noise": images, "steps": STEPS})[-1], expected)
    assert np.array_equal(drawn(replay, images), expected)


def test_a_failed_run_is_a_run_error(from_noise: Session) -> None:
    with pytest.raises(RunError, match="could not run the graph"):
        from_noise.run_kept({"noise": noise(1)[:, :8], "steps": STEPS})


def test_a_replay_takes_new_input_at_the_same_addresses(
    from_noise: Session, replay: Replay
) -> None:
    for seed in range(3):
        expected = from_noise.run({"noise": noise(2, seed), "steps": STEPS})[0]
        assert np.array_equal(drawn(replay, noise(2, seed)), expected)
    assert len(replay._shapes) == 1


def test_images_of_a_replay_outlive_the_next(replay: Replay) -> None:
    first = drawn(replay, noise(2, 0))
    before = first.copy()
    drawn(replay, noise(2, 1))
    assert np.array_equal(first, before)


def test_the_callers_array_is_left_alone(replay: Replay) -> None:
    images = noise(2, 0)
    drawn(replay, images)
    drawn(replay, noise(2, 1))
    assert np.array_equal(images, noise(2, 0))


def test_each_shape_has_its_own_tensors_up_to_a_limit(from_noise: Session, replay: Replay) -> None:
    for count in [*range(1, MAX_SHAPES + 3), 1]:
        expected = from_noise.run({"noise": noise(count), "steps": STEPS})[0]
        assert np.array_equal(drawn(replay, noise(count)), expected)
    assert len(replay._shapes) == MAX_SHAPES


def test_threads_take_turns(
    from_noise: Session, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {
        seed: from_noise.run({"noise": noise(2, seed), "steps": STEPS})[0] for seed in range(4)
    }
    session, runners = from_noise._session, set[int]()
    run = session.run_with_iobinding

    def run_and_note(*arguments: object) -> None:
        runners.add(threading.get_ident())
        run(*arguments)

    monkeypatch.setattr(session, "run_with_iobinding", run_and_note)
    wrong: list[int] = []

    def draw(seed: int) -> None:
        if any(not np.array_equal(drawn(replay, noise(2, seed)), expected[seed]) for _ in range(5)):
            wrong.append(seed)

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    # Each thread would capture its own kernels.
    assert len(runners) == 1
    assert threading.get_ident() not in runners


@pytest.mark.gpu
@pytest.mark.skipif(NO_GPU, reason="needs an NVIDIA GPU and onnxruntime-gpu")
def test_a_gpu_draws_the_images_of_the_cpu(tiny_bundle: Path) -> None:
    # Another order of the same sums: a pixel may round to the next of the 255 levels.
    on_gpu, on_cpu = (
        Sampler(tiny_bundle, device=device).sample(5, steps=3).astype(int)
        for device in ("cuda", "cpu")
    )
    assert np.abs(on_gpu - on_cpu).max() <= 1


@pytest.mark.gpu
@pytest.mark.skipif(NO_GPU, reason="needs an NVIDIA GPU and onnxruntime-gpu")
def test_the_tensors_of_a_step_stay_on_a_gpu(tiny_bundle: Path) -> None:
    session = create_session(open_bundle(tiny_bundle).graph("step"), SessionSettings("cuda"))
    numbers = {"step": np.array(0), "steps": STEPS}
    *values, _ = session.run_kept({**numbers, **{name: noise(3) for name in session.inputs[2:]}})
    assert {value.device_name() for value in values} == {"cuda"}


@pytest.mark.gpu
@pytest.mark.skipif(NO_GPU, reason="needs an NVIDIA GPU and onnxruntime-gpu")
def test_a_loop_cannot_be_replayed_and_runs_without(tiny_bundle: Path) -> None:
    graph = open_bundle(tiny_bundle).graph("from_noise")
    session = create_session(graph, SessionSettings("cuda"), replay=True)
    assert not session.replays
    assert session.run({"noise": noise(2), "steps": STEPS})[0].shape == (2, 16, 16, 3)


@pytest.mark.gpu
@pytest.mark.skipif(NO_GPU, reason="needs an NVIDIA GPU and onnxruntime-gpu")
@pytest.mark.parametrize("batch_size", [None, 2])
def test_an_unrolled_bundle_is_replayed(tmp_path: Path, batch_size: int | None) -> None:
    from small_models import small_bundle

    settings = {"graphs": ("sampler", "from_noise", "noise"), "unroll_steps": 3}
    bundle = small_bundle(tmp_path / "unrolled.bundle", **settings, batch_size=batch_size)
    sampler = Sampler(bundle, device="cuda", max_batch=2)
    expected = Sampler(bundle, device="cpu").sample(5, steps=3)
    for _ in range(3):  # captured, then replayed
        # Another order of the same sums: a pixel may round to the next of the 255 levels.
        images = sampler.sample(5, steps=3)
        assert np.abs(images.astype(int) - expected.astype(int)).max() <= 1
    assert sampler._engine.session("from_noise").replays
