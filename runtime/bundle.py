"""Reads a bundle's manifest and its files, and trusts neither before it has checked them."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

FORMAT = "diffkiln-bundle"
FORMAT_VERSION = 1
MANIFEST = "bundle.json"
IMAGE_DTYPES = ("uint8", "float32")

_EXPORT_AGAIN = "export the model again"
_COPY_AGAIN = "copy the bundle again or export it again"

Kind = TypeVar("Kind")


class BundleError(ValueError):
    """A bundle is missing, damaged, or not of a kind that this version can read."""


@dataclass(frozen=True)
class FileRecord:
    """What the manifest says of one file: its SHA-256 in hexadecimal and its size."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Bundle:
    """What the runtime needs of a manifest that has been checked.

    `image_shape` is (height, width, channels); `image_dtype` is "uint8" or "float32" in [0, 1];
    `graphs` gives the file of each graph by name, `files` the record of each file.
    """

    path: Path
    image_shape: tuple[int, int, int]
    image_dtype: str
    default_steps: int
    max_steps: int
    graphs: Mapping[str, str]
    files: Mapping[str, FileRecord]

    def graph_bytes(self, name: str) -> bytes:
        """Read the graph `name` ("sampler", "step", …) and check it against its SHA-256.

        The file is read once, so what was checked is what onnxruntime gets.
        Raises BundleError for a graph the bundle does not hold and for a damaged file.
        """
        if name not in self.graphs:
            raise BundleError(
                f"{self.path} holds no graph {name!r}, only {', '.join(sorted(self.graphs))}; "
                f"{_EXPORT_AGAIN} with --graphs naming {name}"
            )
        return _checked_bytes(self.path, self.graphs[name], self.files[self.graphs[name]])


def open_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Read and check the manifest of the bundle at `path`; its graphs are checked when used.

    Raises BundleError, which names the file, what it holds, what was expected and a remedy.
    """
    root = Path(path)
    manifest_file = root / MANIFEST
    try:
        _require_folder(root, manifest_file)
        text = manifest_file.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{manifest_file} cannot be read: {error.strerror or error}; check its permissions"
        ) from error
    return _bundle(root, _Manifest(manifest_file, _parsed(manifest_file, text)))


def _require_folder(root: Path, manifest_file: Path) -> None:
    expected = "expected the folder that diffkiln-export wrote"
    if not root.exists():
        raise BundleError(f"{root} does not exist; {expected}: check the path")
    if not root.is_dir():
        raise BundleError(f"{root} is not a folder; {expected}, not a file inside it")
    if not manifest_file.is_file():
        raise BundleError(f"{root} holds no {MANIFEST}; {expected}: check the path")


def _parsed(manifest_file: Path, text: bytes) -> Mapping[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{manifest_file} is not JSON ({error}); {_COPY_AGAIN}") from error
    if not isinstance(values, dict):
        raise BundleError(
            f"{manifest_file} holds a JSON {type(values).__name__}, expected an object; "
            f"{_EXPORT_AGAIN}"
        )
    return values


@dataclass(frozen=True)
class _Manifest:
    """One JSON object of the manifest, and the name under which errors speak of it."""

    name: str | Path
    values: Mapping[str, Any]

    def error(self, key: str, expected: str) -> BundleError:
        received = repr(self.values[key]) if key in self.values else "missing"
        return BundleError(
            f"{self.name}: {key!r} is {received[:80]}, expected {expected}; {_EXPORT_AGAIN}"
        )

    def take(self, key: str, kind: type[Kind], expected: str) -> Kind:
        value = self.values.get(key)
        # JSON's true is a Python int, but no number of anything.
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(key, expected)
        return value

    def section(self, key: str) -> "_Manifest":
        return _Manifest(f"{self.name}: {key!r}", self.take(key, dict, "an object"))

    def positive(self, key: str) -> int:
        value = self.take(key, int, "a positive whole number")
        if value < 1:
            raise self.error(key, "a positive whole number")
        return value


def _bundle(root: Path, manifest: _Manifest) -> Bundle:
    _require_version(manifest)
    image, sampler = manifest.section("image"), manifest.section("sampler")
    files = _files(manifest.section("files"))
    bundle = Bundle(
        path=root,
        image_shape=(image.positive("height"), image.positive("width"), image.positive("channels")),
        image_dtype=image.take("dtype", str, " or ".join(IMAGE_DTYPES)),
        default_steps=sampler.positive("default_steps"),
        max_steps=sampler.positive("max_steps"),
        graphs=_graphs(manifest.section("graphs"), files),
        files=files,
    )
    if bundle.image_dtype not in IMAGE_DTYPES:
        raise image.error("dtype", " or ".join(IMAGE_DTYPES))
    if bundle.default_steps > bundle.max_steps:
        raise sampler.error("default_steps", f"at most max_steps, {bundle.max_steps}")
    return bundle


def _require_version(manifest: _Manifest) -> None:
    if manifest.values.get("format") != FORMAT:
        raise manifest.error("format", repr(FORMAT))
    version = manifest.positive("format_version")
    if version > FORMAT_VERSION:
        raise BundleError(
            f"{manifest.name}: 'format_version' is {version}, expected {FORMAT_VERSION}: the "
            "bundle was written by a newer diffkiln; upgrade with pip install --upgrade diffkiln"
        )


def _files(section: _Manifest) -> dict[str, FileRecord]:
    records = {}
    for name in section.values:
        _require_inside(section, name)
        entry = section.section(name)
        sha256 = entry.take("sha256", str, "64 hexadecimal digits")
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise entry.error("sha256", "64 hexadecimal digits")
        size_bytes = entry.take("bytes", int, "a size in bytes")
        if size_bytes < 0:
            raise entry.error("bytes", "a size in bytes")
        records[name] = FileRecord(sha256=sha256, size_bytes=size_bytes)
    return records


def _require_inside(section: _Manifest, name: str) -> None:
    parts = PurePosixPath(name).parts
    # A backslash or a colon would lead out of the bundle on Windows.
    if not parts or name.startswith("/") or ".." in parts or re.search(r"[\\:\0]", name):
        raise BundleError(
            f"{section.name}: the path {name!r} leads out of the bundle, expected a relative path "
            f"inside it; do not use this bundle, and {_EXPORT_AGAIN}"
        )


def _graphs(section: _Manifest, files: Mapping[str, FileRecord]) -> dict[str, str]:
    graphs = {}
    for name in section.values:
        graph = section.section(name)
        graphs[name] = graph.take("file", str, "a file listed in 'files'")
        if graphs[name] not in files:
            raise graph.error("file", "a file listed in 'files'")
    if "sampler" not in graphs:
        raise section.error("sampler", "a graph, since every bundle holds this one")
    return graphs


def _checked_bytes(root: Path, name: str, record: FileRecord) -> bytes:
    path = root / name
    try:
        # The size comes first: a truncated file is told apart from an altered one, and neither a
        # pipe nor a file of any length is read.
        if not path.is_file():
            raise BundleError(f"{path} is missing, though {MANIFEST} lists it; {_COPY_AGAIN}")
        size_bytes = path.stat().st_size
        if size_bytes != record.size_bytes:
            raise BundleError(
                f"{path} has {size_bytes} bytes, expected {record.size_bytes}: "
                f"{'truncated' if size_bytes < record.size_bytes else 'altered'}; {_COPY_AGAIN}"
            )
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}; {_COPY_AGAIN}") from error
    received = hashlib.sha256(content).hexdigest()
    if received != record.sha256:
        raise BundleError(
            f"{path} was altered: its SHA-256 is {received}, expected {record.sha256}; "
            f"{_COPY_AGAIN}"
        )
    return content
