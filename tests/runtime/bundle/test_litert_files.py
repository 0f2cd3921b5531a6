"""LiteRT files of a bundle: found by the names of their graphs, and read only if they are whole."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from small_manifest import manifest, write

from diffkiln.runtime import BundleError
from diffkiln.runtime.bundle.bundle import open_bundle

CONTENT = b"a LiteRT file"


def with_litert(folder: Path, content: bytes = CONTENT) -> Path:
    values: dict[str, Any] = manifest() | {"litert": {"sampler": "sampler.tflite"}}
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    values["files"]["sampler.tflite"] = {"sha256": sha256, "bytes": len(CONTENT)}
    (folder / "sampler.tflite").write_bytes(content)
    return write(folder, values)


def test_a_file_is_read(tmp_path: Path) -> None:
    assert open_bundle(with_litert(tmp_path)).litert["sampler"].content() == CONTENT


def test_a_bundle_may_have_none(tmp_path: Path) -> None:
    assert not open_bundle(write(tmp_path, manifest())).litert


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"another file.", r"sampler\.tflite was altered: its SHA-256 is"),
        (b"a LiteRT", r"sampler\.tflite has 8 bytes, expected 13: truncated"),
    ],
)
def test_an_altered_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    bundle = open_bundle(with_litert(tmp_path, content))
    with pytest.raises(BundleError, match=message):
        bundle.litert["sampler"].content()


def test_a_file_must_be_listed(tmp_path: Path) -> None:
    values: dict[str, Any] = manifest() | {"litert": {"sampler": "other.tflite"}}
    with pytest.raises(BundleError, match=r"'other\.tflite' of 'sampler' is missing in 'files'"):
        open_bundle(write(tmp_path, values))
