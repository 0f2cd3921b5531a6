"""An image depends on its seed alone, in whatever way it is sampled."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from diffkiln.runtime import BundleError, DeviceError, RunError, Sampler, open_bundle


@pytest.fixture(scope="session")
def sampler(tiny_bundle: Path) -> Sampler:
    return Sampler(tiny_bundle, device="cpu", max_batch=2)


def test_shape_and_dtype(sampler: Sampler) -> None:
    images = sampler.sample(3, steps=2)
    assert images.shape == (3, *sampler.bundle.sample_shape)
    assert images.dtype == np.uint8
    assert sampler.device == "cpu"


def test_the_bundle_says_how_many_steps(sampler: Sampler) -> None:
    steps = sampler.bundle.default_steps
    assert np.array_equal(sampler.sample(1), sampler.sample(1, steps=steps))


def test_an_image_depends_on_its_own_seed_alone(sampler: Sampler) -> None:
    images = sampler.sample(5, steps=3, seed=3)
    assert np.array_equal(images[2], sampler.sample(1, steps=3, seed=5)[0])
    assert not np.array_equal(images[2], images[1])


def test_an_image_does_not_depend_on_the_batch(sampler: Sampler, tiny_bundle: Path) -> None:
    whole = Sampler(tiny_bundle, device="cpu").sample(5, steps=3)
    assert np.array_equal(whole, sampler.sample(5, steps=3))


def test_batches_are_the_samples_in_pieces(sampler: Sampler) -> None:
    batches = list(sampler.batches(5, steps=2, seed=7))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert np.array_equal(np.concatenate(batches), sampler.sample(5, steps=2, seed=7))


def test_steps_end_in_the_sample(sampler: Sampler) -> None:
    frames = list(sampler.stepwise(3, steps=4, seed=1))
    assert [step for step, _ in frames] == [0, 1, 2, 3]
    sample = sampler.sample(3, steps=4, seed=1)
    # Rounding may tip a pixel where the two graphs add in another order.
    assert np.abs(frames[-1][1].astype(int) - sample).max() <= 1


def test_tables_draw_alike_in_one_graph_and_step_by_step(learned_bundle: Path) -> None:
    sampler = Sampler(learned_bundle, device="cpu", max_batch=2)
    assert sampler.bundle.default_steps == 5
    for steps, guidance in ((None, 1.0), (5, 4.0), (2, 2.5), (5, 4.5), (7, 2.5)):
        settings = {"steps": steps, "seed": 1, "guidance": guidance}
        *_, (_, last) = sampler.stepwise(3, **settings)
        assert np.abs(last.astype(int) - sampler.sample(3, **settings)).max() <= 1


def test_a_list_of_seeds(sampler: Sampler) -> None:
    expected = sampler.sample(6, steps=2)[[5, 0, 3]]
    assert np.array_equal(sampler.sample(seeds=[5, 0, 3], steps=2), expected)
    assert np.array_equal(sampler.sample(np.array([5, 0, 3], np.uint8), steps=2), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "expected either count or seeds"),
        ({"count": 2, "seeds": [1, 2]}, "expected either count or seeds"),
        ({"seeds": []}, r"received float64\[0\], expected a list of 1 to 1000000 whole numbers"),
        ({"seeds": [0.5]}, r"received float64\[1\]"),
        ({"seeds": [True]}, r"received bool\[1\]"),
        ({"seeds": [[1]]}, r"received int64\[1, 1\]"),
        ({"seeds": [[1, 2], [3]]}, "seeds: expected lists of one length"),
        ({"seeds": [3, -1]}, "seeds=.*-1.*: expected a whole number from 0 to 9223372036854775807"),
        ({"seeds": [2**63]}, "seeds=.*9223372036854775808"),
        ({"seeds": [1, 2**64]}, "seeds=18446744073709551616: expected a whole number from 0 to"),
        ({"seeds": [-1, 2**63]}, "seeds=-1: expected a whole number from 0 to"),
        ({"seeds": [1], "seed": 4}, "seed=4: expected none beside a list of seeds"),
        ({"count": "12"}, "count='12'"),
    ],
)
def test_seeds_out_of_range(sampler: Sampler, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sampler.sample(**arguments)


def test_progress_after_each_step_of_each_batch(sampler: Sampler) -> None:
    calls: list[tuple[int, int]] = []
    images = sampler.sample(3, steps=4, seed=1, progress=lambda *call: calls.append(call))
    assert calls == [(done, 8) for done in range(1, 9)]
    # Rounding may tip a pixel where the two graphs add in another order.
    assert np.abs(images.astype(int) - sampler.sample(3, steps=4, seed=1)).max() <= 1


def test_an_exception_in_progress_cancels(sampler: Sampler) -> None:
    calls: list[int] = []

    def cancel(done: int, _: int) -> None:
        calls.append(done)
        if done == 2:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        sampler.sample(1, steps=100, progress=cancel)
    assert calls == [1, 2]


def test_a_closed_sampler_says_so(tiny_bundle: Path) -> None:
    with Sampler(tiny_bundle, device="cpu") as sampler:
        batches = sampler.batches(40, steps=1)
        next(batches)
    for use in (lambda: next(batches), lambda: sampler.sample(1)):
        with pytest.raises(RunError, match="was closed; make another one"):
            use()


def test_the_last_seed_is_the_largest_int64(sampler: Sampler) -> None:
    assert len(sampler.sample(2, steps=1, seed=2**63 - 2)) == 2


def test_numpy_integers_are_numbers(sampler: Sampler) -> None:
    assert len(sampler.sample(np.int64(1), steps=np.uint8(1), seed=np.int32(4))) == 1  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count=0: expected a whole number from 1"),
        ({"count": True}, "count=True"),
        ({"count": 2.0}, "count=2.0"),
        ({"count": 1_000_001}, "count=1000001"),
        ({"steps": 0}, "steps=0: expected a whole number from 1 to"),
        ({"steps": 10**6}, "steps=1000000"),
        ({"seed": -1}, "seed=-1: expected a whole number from 0"),
        ({"count": 2, "seed": 2**63 - 1}, "seed=9223372036854775807: expected .* to 922"),
    ],
)
def test_arguments_out_of_range(sampler: Sampler, arguments: dict, message: str) -> None:
    for method in (sampler.sample, sampler.batches, sampler.stepwise):
        with pytest.raises(ValueError, match=message):
            method(**({"count": 1} | arguments))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("settings", [{"threads": 0}, {"max_batch": 0}, {"max_batch": 1.5}])
def test_settings_out_of_range(tiny_bundle: Path, settings: dict) -> None:
    with pytest.raises(ValueError, match="expected a whole number from 1"):
        Sampler(tiny_bundle, device="cpu", **settings)


def test_an_unknown_device(tiny_bundle: Path) -> None:
    with pytest.raises(DeviceError, match="expected one of auto, cpu, cuda"):
        Sampler(tiny_bundle, device="gpu")


def test_several_threads_share_one_sampler(tiny_bundle: Path) -> None:
    shared = Sampler(tiny_bundle, device="cpu")
    results: dict[int, np.ndarray] = {}

    def work(seed: int) -> None:
        results[seed] = shared.sample(1, steps=2, seed=seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = shared.sample(4, steps=2)
    assert all(np.array_equal(results[seed][0], expected[seed]) for seed in range(4))


def test_an_altered_graph_never_reaches_onnxruntime(bundle_copy: Path) -> None:
    graph = bundle_copy / "sampler.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    with pytest.raises(BundleError, match=r"sampler\.onnx was altered"):
        Sampler(bundle_copy, device="cpu").sample(1)


def test_the_first_use_loads_a_graph(bundle_copy: Path) -> None:
    (bundle_copy / "noise.onnx").unlink()
    sampler = Sampler(bundle_copy, device="cpu")
    assert len(sampler.sample(1, steps=1)) == 1
    with pytest.raises(BundleError, match=r"noise\.onnx is missing"):
        next(sampler.stepwise(1, steps=1))


def test_an_opened_bundle_is_taken(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    assert Sampler(bundle, device="cpu").bundle is bundle


def change_manifest(bundle: Path, change: Callable[[dict], object]) -> None:
    manifest = json.loads((bundle / "bundle.json").read_text())
    change(manifest)
    (bundle / "bundle.json").write_text(json.dumps(manifest))


def _taller(manifest: dict) -> None:
    manifest["image"]["height"] += 1
    manifest["graphs"]["sampler"]["outputs"][0]["shape"][1] += 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _taller,
            r"sampler\.onnx is a graph seeds .* as the manifest says; export the model again",
        ),
        (
            lambda manifest: manifest["graphs"]["sampler"].update(file="step.onnx"),
            r"step\.onnx is a graph step int64\[\], .*, expected seeds int64\[N\], ",
        ),
    ],
)
def test_a_graph_that_is_not_what_the_manifest_says(
    bundle_copy: Path, change: Callable[[dict], object], message: str
) -> None:
    change_manifest(bundle_copy, change)
    with pytest.raises(BundleError, match=message):
        Sampler(bundle_copy, device="cpu").sample(1, steps=1)


@pytest.mark.slow
def test_a_lack_of_memory_is_named(tiny_bundle: Path) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("only Linux says how much address space a process has")
    code = (
        "import resource, sys; from diffkiln.runtime import RunError, Sampler; "
        "sampler = Sampler(sys.argv[1], device='cpu', max_batch=4096); sampler.sample(1, steps=1); "
        "size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize(); "
        "resource.setrlimit(resource.RLIMIT_AS, (size + 2**26, -1)); sampler.sample(4096, steps=1)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tiny_bundle], capture_output=True, text=True, check=False
    )
    assert "MemoryShortError" in done.stderr
    assert "memory is short, use a smaller max_batch" in done.stderr


def test_the_first_session_decides_the_device(tiny_bundle: Path) -> None:
    sampler = Sampler(tiny_bundle, device="cpu")
    # As if the first session were on a GPU that the next does not get.
    sampler._engine._device = "cuda"
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("the next session might get CUDA")
    with pytest.raises(DeviceError, match="device='cuda' cannot be used: "):
        sampler.sample(1)
