"""Each option of a provider exists, and what a caller chooses reaches it."""

import mmap
from pathlib import Path

import pytest
from onnxruntime import capi

from diffkiln.runtime import MemoryShortError, RunError
from diffkiln.runtime.device.providers import providers
from diffkiln.runtime.engine.library import run_error

LIBRARY = Path(capi.__file__ or "").parent / "libonnxruntime_providers_cuda.so"


@pytest.mark.skipif(not LIBRARY.exists(), reason="needs onnxruntime-gpu for Linux")
@pytest.mark.parametrize("name", sorted(providers("cuda", threads=2)[0][1]))
def test_the_provider_knows_the_option(name: str) -> None:
    with LIBRARY.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        assert text.find(name.encode()) >= 0


def test_the_default_is_exact_and_without_replay() -> None:
    options = dict(providers("cuda", threads=2)[0][1])
    assert (options["use_tf32"], options["enable_cuda_graph"]) == ("0", "0")


@pytest.mark.parametrize(
    ("chosen", "option"), [("tf32", "use_tf32"), ("replay", "enable_cuda_graph")]
)
def test_a_choice_changes_one_option(chosen: str, option: str) -> None:
    default, changed = (
        providers("cuda", threads=2)[0][1],
        providers("cuda", threads=2, **{chosen: True})[0][1],
    )
    assert {name for name in default if default[name] != changed[name]} == {option}
    assert changed[option] == "1"


def test_the_cpu_has_no_options() -> None:
    assert providers("cpu", threads=2, tf32=True, replay=True) == ["CPUExecutionProvider"]


@pytest.mark.parametrize(("threads", "expected"), [(3, "3"), (0, None)])
def test_openvino_is_exact_and_gets_the_threads(threads: int, expected: str | None) -> None:
    options = dict(providers("openvino", threads=threads)[0][1])
    assert options["precision"] == "FP32"
    assert options.get("num_of_threads") == expected


# As onnxruntime words them: its arena, CUDA's allocator, cuBLAS, and a GPU that it has no code for.
@pytest.mark.parametrize(
    ("text", "kind", "remedy"),
    [
        ("Failed to allocate memory for requested buffer of size 9", MemoryShortError, "max_batch"),
        ("CUDA failure 2: out of memory ; GPU=0", MemoryShortError, "smaller max_batch"),
        ("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED", MemoryShortError, "smaller max_batch"),
        (
            "CUDA failure 209: no kernel image is available for execution on the device",
            RunError,
            "was not built for this GPU, install a version that was, or use device='cpu'",
        ),
        ("Got invalid dimensions for input", RunError, "invalid dimensions"),
    ],
)
def test_errors_of_a_run_are_told_apart(text: str, kind: type, remedy: str) -> None:
    error = run_error(RuntimeError(text))
    assert type(error) is kind
    assert text in str(error)
    assert remedy in str(error)
