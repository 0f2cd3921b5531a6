"""A bundle that cannot be used is refused with what was found, what was expected and a remedy."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diffkiln.runtime import BundleError
from diffkiln.runtime.bundle import open_bundle

GRAPH = b"the bytes of a graph"


def manifest() -> dict[str, Any]:
    return {
        "format": "diffkiln-bundle",
        "format_version": 1,
        "image": {"height": 8, "width": 6, "channels": 3, "dtype": "uint8"},
        "sampler": {"default_steps": 20, "max_steps": 1000},
        "graphs": {
            "sampler": {
                "file": "sampler.onnx",
                "inputs": [
                    {"name": "seeds", "dtype": "int64", "shape": ["N"]},
                    {"name": "steps", "dtype": "int64", "shape": []},
                ],
                "outputs": [{"name": "images", "dtype": "uint8", "shape": ["N", 8, 6, 3]}],
            }
        },
        "files": {
            "sampler.onnx": {"sha256": hashlib.sha256(GRAPH).hexdigest(), "bytes": len(GRAPH)}
        },
    }


def write(folder: Path, values: object) -> Path:
    (folder / "bundle.json").write_text(json.dumps(values))
    (folder / "sampler.onnx").write_bytes(GRAPH)
    return folder


def test_a_sound_manifest_is_read(tmp_path: Path) -> None:
    bundle = open_bundle(write(tmp_path, manifest()))
    assert bundle.image_shape == (8, 6, 3)
    assert (bundle.default_steps, bundle.max_steps) == (20, 1000)
    graph = bundle.graph("sampler")
    assert graph.content() == GRAPH
    assert graph.signature == "seeds int64[N], steps int64[] -> images uint8[N, 8, 6, 3]"


def test_sections_that_a_host_does_not_need_are_ignored(tmp_path: Path) -> None:
    values = manifest() | {"certificate": {}, "noise": 7}
    assert open_bundle(write(tmp_path, values)).image_dtype == "uint8"


def test_a_path_to_nothing(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere does not exist; expected the folder"):
        open_bundle(tmp_path / "nowhere")


def test_a_file_is_no_bundle(tmp_path: Path) -> None:
    write(tmp_path, manifest())
    with pytest.raises(BundleError, match=r"sampler\.onnx is not a folder"):
        open_bundle(tmp_path / "sampler.onnx")


def test_a_folder_without_manifest(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"holds no bundle\.json"):
        open_bundle(tmp_path)


@pytest.mark.parametrize("text", [b"{", b"", b"\xff\xfe", b"[" * 100_000])
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
        (lambda v: v.update(format="zip"), "'format' is 'zip', expected 'diffkiln-bundle'"),
        (lambda v: v.pop("format"), "'format' is missing"),
        (lambda v: v.update(format_version=2), "written by a newer diffkiln; upgrade"),
        (lambda v: v.update(format_version=0), "'format_version' is 0, expected a positive"),
        (lambda v: v.update(format_version=True), "'format_version' is True, expected a positive"),
        (lambda v: v.pop("image"), "'image' is missing, expected an object"),
        (lambda v: v["image"].pop("width"), "'image': 'width' is missing"),
        (lambda v: v["image"].update(height=-8), "'height' is -8, expected a positive"),
        (lambda v: v["image"].update(channels=3.0), "'channels' is 3.0, expected a positive"),
        (lambda v: v["image"].update(dtype="int8"), "'dtype' is 'int8', expected uint8 or float32"),
        (lambda v: v["sampler"].update(default_steps=1001), "expected at most max_steps, 1000"),
        (lambda v: v["graphs"].clear(), "'graphs': 'sampler' is missing"),
        (lambda v: v["graphs"]["sampler"].pop("file"), "'file' is missing"),
        (lambda v: v["files"].clear(), "'sampler.onnx' is missing, expected an object"),
        (lambda v: v["files"]["sampler.onnx"].update(sha256=7), "expected 64 hexadecimal"),
        (
            lambda v: v["files"]["sampler.onnx"].update(bytes=-1),
            "'bytes' is -1, expected a positive",
        ),
        (lambda v: v["image"].update(dtype="float32"), "expected images float32[N, 8, 6, 3]"),
        (lambda v: v["image"].update(height=9), "expected images uint8[N, 9, 6, 3] as 'image'"),
        (lambda v: v["graphs"]["sampler"].pop("inputs"), "'inputs' or 'outputs' is missing"),
        (lambda v: v["graphs"]["sampler"].update(outputs=[3]), "expected lists of objects"),
        (_with_path("../evil"), "'../evil' leads out of the bundle"),
        (_with_path("/etc/passwd"), "leads out of the bundle"),
        (_with_path("a/../../evil"), "leads out of the bundle"),
        (_with_path("..\\evil"), "leads out of the bundle"),
        (_with_path("C:evil"), "leads out of the bundle"),
        (_with_path(""), "leads out of the bundle"),
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
    with pytest.raises(BundleError, match=r"holds no graph 'step', only sampler; .* --graphs"):
        bundle.graph("step")
