"""Reads a bundle's manifest and its files, and trusts neither before it has checked them."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from .errors import BundleError

FORMAT = "diffkiln-bundle"
FORMAT_VERSION = 1
MANIFEST = "bundle.json"
IMAGE_DTYPES = ("uint8", "float32")

_EXPORT_AGAIN = "export the model again"
_COPY_AGAIN = "copy the bundle again or export it again"

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Graph:
    """What the manifest says of a graph: its file, that file's SHA-256 and size, its signature.

    `signature` is like "seeds int64[N], steps int64[] -> images uint8[N, 64, 64, 3]".
    """

    file: Path
    sha256: str
    size_bytes: int
    signature: str

    def content(self) -> bytes:
        """Read the file and check it; BundleError if it is missing or damaged.

        It is read once, so what was checked is what onnxruntime gets.
        """
        try:
            # The size comes first: a truncated file is told apart from an altered one, and neither
            # a pipe nor a file of any length is read.
            if not self.file.is_file():
                raise BundleError(
                    f"{self.file} is missing, though {MANIFEST} lists it; {_COPY_AGAIN}"
                )
            size_bytes = self.file.stat().st_size
            if size_bytes != self.size_bytes:
                raise BundleError(
                    f"{self.file} has {size_bytes} bytes, expected {self.size_bytes}: "
                    f"{'truncated' if size_bytes < self.size_bytes else 'altered'}; {_COPY_AGAIN}"
                )
            content = self.file.read_bytes()
        except OSError as error:
            raise BundleError(
                f"{self.file} cannot be read: {error.strerror}; {_COPY_AGAIN}"
            ) from error
        received = hashlib.sha256(content).hexdigest()
        if received != self.sha256:
            raise BundleError(
                f"{self.file} was altered: its SHA-256 is {received}, expected {self.sha256}; "
                f"{_COPY_AGAIN}"
            )
        return content

    def require(self, received: str) -> None:
        """BundleError unless the signature that onnxruntime found is the manifest's."""
        if received != self.signature:
            raise BundleError(
                f"{self.file} is a graph {received}, expected {self.signature} as {MANIFEST} "
                f"says; {_EXPORT_AGAIN}"
            )


@dataclass(frozen=True)
class Bundle:
    """What the runtime needs of a manifest that has been checked.

    `image_shape` is (height, width, channels); `image_dtype` is "uint8" or "float32" in [0, 1];
    `graphs` are the graphs by name: "sampler", "step", … `unrolled_steps` and `unrolled_batch` are
    the only numbers that "sampler" and "from_noise" take, None where any will do.
    """

    path: Path
    image_shape: tuple[int, int, int]
    image_dtype: str
    default_steps: int
    max_steps: int
    graphs: Mapping[str, Graph]
    unrolled_steps: int | None = None
    unrolled_batch: int | None = None

    def graph(self, name: str) -> Graph:
        """Return the graph `name`; BundleError if the bundle does not hold it."""
        if name not in self.graphs:
            raise BundleError(
                f"{self.path} holds no graph {name!r}, only {', '.join(sorted(self.graphs))}; "
                f"{_EXPORT_AGAIN} with --graphs naming {name}"
            )
        return self.graphs[name]


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
            f"{manifest_file} cannot be read: {error.strerror or error}; check the path and its "
            "permissions"
        ) from error
    return _bundle(root, _Manifest(manifest_file, _parsed(manifest_file, text)))


def signature(inputs: Any, outputs: Any) -> str:
    """Return in one line what a graph takes and gives, from lists like those in the manifest.

    Raises KeyError or TypeError for anything but lists of objects with name, dtype and shape.
    """
    return " -> ".join(
        ", ".join(
            f"{entry['name']} {entry['dtype']}[{', '.join(map(str, entry['shape']))}]"
            for entry in entries
        )
        for entries in (inputs, outputs)
    )


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
    bundle = Bundle(
        path=root,
        image_shape=(image.positive("height"), image.positive("width"), image.positive("channels")),
        image_dtype=image.take("dtype", str, " or ".join(IMAGE_DTYPES)),
        default_steps=sampler.positive("default_steps"),
        max_steps=sampler.positive("max_steps"),
        graphs={name: _graph(root, manifest, name) for name in manifest.section("graphs").values},
        **_unrolled(sampler),
    )
    if bundle.image_dtype not in IMAGE_DTYPES:
        raise image.error("dtype", " or ".join(IMAGE_DTYPES))
    if bundle.default_steps > bundle.max_steps:
        raise sampler.error("default_steps", f"at most max_steps, {bundle.max_steps}")
    if "sampler" not in bundle.graphs:
        raise manifest.section("graphs").error("sampler", "a graph, since every bundle holds this")
    batch = bundle.unrolled_batch or "N"
    images = f"images {bundle.image_dtype}[{batch}, {', '.join(map(str, bundle.image_shape))}]"
    received = bundle.graphs["sampler"].signature
    if not received.endswith(f" -> {images}"):
        raise BundleError(
            f"{manifest.name}: the graph 'sampler' is {received}, expected {images} as 'image' "
            f"says; {_EXPORT_AGAIN}"
        )
    return bundle


def _unrolled(sampler: _Manifest) -> dict[str, int | None]:
    if sampler.values.get("unrolled") is None:
        return {}
    unrolled = sampler.section("unrolled")
    batch = None if unrolled.values.get("batch") is None else unrolled.positive("batch")
    return {"unrolled_steps": unrolled.positive("steps"), "unrolled_batch": batch}


def _require_version(manifest: _Manifest) -> None:
    if manifest.values.get("format") != FORMAT:
        raise manifest.error("format", repr(FORMAT))
    version = manifest.positive("format_version")
    if version > FORMAT_VERSION:
        raise BundleError(
            f"{manifest.name}: 'format_version' is {version}, expected {FORMAT_VERSION}: the "
            "bundle was written by a newer diffkiln; upgrade with pip install --upgrade diffkiln"
        )


def _graph(root: Path, manifest: _Manifest, name: str) -> Graph:
    graph = manifest.section("graphs").section(name)
    file = graph.take("file", str, "a file listed in 'files'")
    _require_inside(graph, file)
    record = manifest.section("files").section(file)
    sha256 = record.take("sha256", str, "64 hexadecimal digits")
    try:
        text = signature(graph.values["inputs"], graph.values["outputs"])
    except (KeyError, TypeError) as error:
        raise BundleError(
            f"{graph.name}: 'inputs' or 'outputs' is missing or wrong, expected lists of objects "
            f"with name, dtype and shape; {_EXPORT_AGAIN}"
        ) from error
    return Graph(root / file, sha256, record.positive("bytes"), text)


def _require_inside(section: _Manifest, name: str) -> None:
    parts = PurePosixPath(name).parts
    # A backslash or a colon would lead out of the bundle on Windows.
    if not parts or name.startswith("/") or ".." in parts or re.search(r"[\\:\0]", name):
        raise BundleError(
            f"{section.name}: the path {name!r} leads out of the bundle, expected a relative path "
            f"inside it; do not use this bundle, and {_EXPORT_AGAIN}"
        )
