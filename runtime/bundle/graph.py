"""A graph of a bundle: what the manifest says about it, and its bytes once they are checked."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..background import Background
from ..checking import GraphError, Signature, check
from ..checking.limits import MAX_HELD_BYTES
from ..errors import BundleError
from .differences import difference
from .files import ListedFile, opened
from .manifest import COPY_AGAIN, EXPORT_AGAIN, MANIFEST, strict_json
from .seal import checked

# What diffkiln-export --graphs knows. Those of a decoder or a second stage come by themselves.
GRAPHS = (
    *("sampler", "from_noise", "denoiser", "noise", "step"),
    *("encode", "trajectory", "inpaint", "edit"),
)
# Those that may have no Loop, for one number of steps and perhaps of images.
UNROLLED = ("sampler", "from_noise")
# Those that no cascade has.
OF_ONE_STAGE = ("encode", "trajectory", "inpaint", "edit")

# What sampler.onnx repeats in its metadata, as far as the manifest has it.
ESSENTIALS = (
    *("format", "format_version", "image", "array", "latent", "then", "model"),
    *("schedule", "pixel_mean", "pixel_std", "sampler", "noise", "versions", "conditions"),
)


@dataclass(frozen=True)
class Graph(ListedFile):
    """What the manifest says about a graph: its file, SHA-256, size and signature.

    `essentials` are the entries of the manifest that the graph's metadata must repeat. A latent
    model's graphs may take memory by the `image_numbers` that its decoder draws. In a `cascade`,
    a graph may have a second Loop.
    """

    signature: Signature
    essentials: Mapping[str, Any]
    image_numbers: int = 0
    cascade: bool = False

    def content(self) -> bytes:
        """Read and check the file; BundleError if it is missing, damaged or not acceptable.

        The file is read once, so what was checked is what onnxruntime gets.
        """
        checking = self.__dict__.pop("_checking", None) or Background(self._checked).start()
        return checking.result()

    def begin(self) -> None:
        """Begin to read and check in the background, so that `content` takes less time later."""
        if "_checking" not in self.__dict__:
            self.__dict__["_checking"] = Background(self._checked).start()

    def _checked(self) -> bytes:
        with opened(self.root, self.name) as (stream, size_bytes):
            self.require_size(size_bytes)
            if self.size_bytes > MAX_HELD_BYTES:
                self._require_whole(*checked(stream, self.size_bytes))
                stream.seek(0)
            content = stream.read(self.size_bytes)
        hashing = Background(lambda: checked(io.BytesIO(content), self.size_bytes)).start()
        try:
            checked_graph = check(content, self.signature, self.image_numbers, self.cascade)
            self._require_essentials(checked_graph.metadata)
        except GraphError as error:
            # For an altered file, say that it was altered and not what is wrong with it now.
            self._require_whole(*hashing.result())
            raise BundleError(f"{self.file} {error}; {EXPORT_AGAIN}") from error
        self._require_whole(*hashing.result())
        return content

    def _require_whole(self, sha256: str, broken: str) -> None:
        self.require_sha256(sha256)
        if broken:
            raise BundleError(f"{self.file} {broken}; {COPY_AGAIN}")

    def _require_essentials(self, metadata: Mapping[str, str]) -> None:
        """GraphError unless the graph's metadata agree with the manifest."""
        for name, expected in self.essentials.items():
            try:
                value = strict_json(metadata[f"diffkiln.{name}"].encode("utf-8"))
            except (KeyError, ValueError) as error:
                raise GraphError(
                    f"does not repeat {name!r} of the manifest in its metadata"
                ) from error
            if value != expected:
                raise GraphError(
                    f"says of itself that {name} is not what {MANIFEST} says: "
                    f"{difference(name, value, expected)}"
                )

    def require(self, signature: Signature) -> None:
        """BundleError unless the signature that onnxruntime reports is the manifest's."""
        if signature != self.signature:
            raise BundleError(
                f"{self.file} is a graph {signature}, expected {self.signature} as {MANIFEST} "
                f"says; {EXPORT_AGAIN}"
            )
