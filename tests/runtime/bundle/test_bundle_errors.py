"""A bundle that cannot be used is refused with what was found, what was expected and a remedy."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_manifest import GRAPH, manifest, write

from diffkiln.runtime import BundleError
from diffkiln.runtime.bundle.bundle import open_bundle, shipped_bundle


def test_a_sound_manifest_is_read(tmp_path: Path) -> None:
    bundle = open_bundle(write(tmp_path, manifest()))
    assert bundle.sample_shape == (8, 6, 3)
    assert (bundle.default_steps, bundle.max_steps) == (20, 1000)
    graph = bundle.graph("sampler")
    assert str(graph.signature) == "seeds int64[N], steps int64[] -> images uint8[N, 8, 6, 3]"


def test_entries_of_later_writers_are_ignored(tmp_path: Path) -> None:
    values: dict[str, Any] = manifest() | {"labels": ["rose", "lily"]}
    values["image"]["colour_space"] = "sRGB"
    assert open_bundle(write(tmp_path, values)).sample_dtype == "uint8"


def test_how_photographs_fit_is_one_of_three(tmp_path: Path) -> None:
    values: dict[str, Any] = manifest()
    assert open_bundle(write(tmp_path, values)).fit == "crop"
    for fit in ("crop", "pad", "stretch"):
        values["image"]["fit"] = fit
        assert open_bundle(write(tmp_path, values)).fit == fit
    values["image"]["fit"] = "fill"
    with pytest.raises(BundleError, match=r"image\.fit is 'fill', expected crop or pad or stretch"):
        open_bundle(write(tmp_path, values))


def test_whole_numbers_may_be_written_with_a_fraction(tmp_path: Path) -> None:
    """JSON does not tell 20.0 from 20."""
    values = manifest()
    values["sampler"]["default_steps"] = 20.0
    steps = open_bundle(write(tmp_path, values)).default_steps
    assert (steps, type(steps)) == (20, int)


def test_a_path_to_nothing(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere does not exist; expected the folder"):
        open_bundle(tmp_path / "nowhere")


def test_a_file_is_no_bundle(tmp_path: Path) -> None:
    write(tmp_path, manifest())
    with pytest.raises(BundleError, match=r"sampler\.onnx is not a folder; .*, or a \.zip of"):
        open_bundle(tmp_path / "sampler.onnx")


def test_a_folder_without_manifest(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"holds no bundle\.json"):
        open_bundle(tmp_path)


@pytest.mark.parametrize("text", [b"{", b"", b"\xff\xfe", b"[" * 500_000])
def test_a_manifest_that_is_not_json(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "bundle.json").write_bytes(text)
    with pytest.raises(BundleError, match=r"bundle\.json is not JSON"):
        open_bundle(tmp_path)


def test_a_manifest_that_is_no_object(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds a JSON list, expected an object"):
        open_bundle(write(tmp_path, []))


Change = Callable[[dict[str, Any]], object]


def _with_path(name: str) -> Change:
    return lambda values: values["graphs"]["sampler"].update(file=name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(format="zip"), "format is 'zip', expected 'diffkiln-bundle'"),
        (lambda v: v.pop("format"), "format is missing, expected 'diffkiln-bundle'"),
        (lambda v: v.update(format_version=7), "written by a newer diffkiln; upgrade"),
        (lambda v: v.update(format_version=0), "format_version is 0, expected 1 to 6"),
        (lambda v: v.update(format_version=True), "format_version is True, expected 1 to 6"),
        (lambda v: v.pop("image"), "image is missing, expected an object that describes"),
        (lambda v: v["image"].pop("width"), "image.width is missing, expected a whole number of"),
        (lambda v: v["image"].update(height=-8), "image.height is -8, expected a whole number of"),
        (lambda v: v["image"].update(height="8" * 999), "image.height is '8888"),
        (lambda v: v["image"].update(channels=3.5), "image.channels is 3.5, expected a whole"),
        (lambda v: v["image"].update(dtype="int8"), "dtype is 'int8', expected uint8 or float32"),
        (lambda v: v["sampler"].update(default_steps=1001), "expected at most max_steps, 1000"),
        (lambda v: v["sampler"].update(unrolled=3), "sampler.unrolled is 3, expected null, or"),
        (lambda v: v["graphs"].clear(), "graphs.sampler is missing, expected an object"),
        (
            lambda v: v["graphs"].update({"A b": v["graphs"]["sampler"]}),
            "graphs has an entry 'A b', expected a name",
        ),
        (lambda v: v["graphs"]["sampler"].pop("file"), "graphs.sampler.file is missing"),
        (lambda v: v["files"].clear(), "'sampler.onnx' of 'sampler' is missing in 'files'"),
        (lambda v: v["files"]["sampler.onnx"].update(sha256=7), "expected 64 hexadecimal"),
        (lambda v: v["files"]["sampler.onnx"].update(bytes=-1), "bytes is -1, expected a whole"),
        (lambda v: v["image"].update(dtype="float32"), "expected images float32[N, 8, 6, 3]"),
        (lambda v: v["image"].update(height=9), "expected images uint8[N, 9, 6, 3] as 'image'"),
        (lambda v: v["graphs"]["sampler"].pop("inputs"), "inputs is missing, expected a list of"),
        (lambda v: v["graphs"]["sampler"].update(outputs=[3]), "outputs[0] is 3, expected an obj"),
        (_with_path("../evil"), "file is '../evil', expected a relative path inside the bundle"),
        (_with_path(""), "file is '', expected a relative path inside the bundle"),
    ],
)
def test_a_wrong_manifest(tmp_path: Path, change: Change, message: str) -> None:
    values = manifest()
    change(values)
    with pytest.raises(BundleError) as caught:
        open_bundle(write(tmp_path, values))
    assert message in str(caught.value)
    assert str(tmp_path / "bundle.json") in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GRAPH[:-1], "has 19 bytes, expected 20: truncated; copy the bundle again"),
        (GRAPH + b"!", "has 21 bytes, expected 20: altered"),
        (GRAPH[::-1], "was altered: its SHA-256 is"),
        (GRAPH, "has no seal: its last metadata entry is not diffkiln.sha256; copy the bundle"),
    ],
)
def test_a_damaged_graph(tmp_path: Path, content: bytes, message: str) -> None:
    bundle = open_bundle(write(tmp_path, manifest()))
    (tmp_path / "sampler.onnx").write_bytes(content)
    with pytest.raises(BundleError, match=message):
        bundle.graph("sampler").content()


def test_a_graph_file_that_has_gone(tmp_path: Path) -> None:
    bundle = open_bundle(write(tmp_path, manifest()))
    (tmp_path / "sampler.onnx").unlink()
    with pytest.raises(BundleError, match=r"sampler\.onnx is missing, though bundle\.json lists"):
        bundle.graph("sampler").content()


def test_a_graph_that_the_bundle_does_not_hold(tmp_path: Path) -> None:
    bundle = open_bundle(write(tmp_path, manifest()))
    with pytest.raises(BundleError, match=r"no graph 'step', only sampler; .*=sampler,step$"):
        bundle.graph("step")
    with pytest.raises(BundleError, match=r"no graph 'decoder', only sampler; name one of these$"):
        bundle.require_graphs("decoder")
    with pytest.raises(BundleError, match=r"no graph 'noise', .* --graphs=sampler,noise,step$"):
        bundle.require_graphs("noise", "step")
    with pytest.raises(
        BundleError, match=r"installed with diffkiln only draw pictures: give a --bundle of your"
    ):
        open_bundle(shipped_bundle()).graph("encode")


@pytest.mark.slow
@pytest.mark.parametrize("lacks", ["bundle/bundle.schema.json", "flowers.bundle/bundle.json"])
def test_a_missing_file_of_the_package_is_named(tmp_path: Path, lacks: str) -> None:
    """As in an app that was frozen with the code alone."""
    package = shutil.copytree(shipped_bundle().parent, tmp_path / "diffkiln" / "runtime")
    (package / lacks).unlink()
    program = "from diffkiln.runtime import Sampler; Sampler(device='cpu')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stderr.splitlines()[-1]
    assert f"LibraryError: {package / lacks} is missing, a file of diffkiln's runtime" in last
    assert "--collect-data=diffkiln.runtime" in last


@pytest.mark.slow
def test_a_bundle_is_checked_without_what_windows_lacks() -> None:
    program = """
import os, sys
for name in ("fork", "wait4", "mkfifo", "O_NOFOLLOW", "O_NONBLOCK", "sched_getaffinity"):
    vars(os).pop(name, None)
sys.modules |= dict.fromkeys(("fcntl", "resource", "pwd", "grp", "termios"))
from diffkiln.runtime.bundle.bundle import open_bundle, shipped_bundle
print(len(open_bundle(shipped_bundle()).graph("sampler").content()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == open_bundle(shipped_bundle()).graph("sampler").size_bytes
