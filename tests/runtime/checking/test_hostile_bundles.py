"""Damaged and hostile bundles end in a BundleError, quickly and in little memory: never in a crash.

Each is opened and sampled from in a process of its own. A hostile graph is tried three times: as
found, with the manifest's size and hash made right again, and with its seal made right as well.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from hostile_files import (
    BYTES_CASES,
    FLIPS,
    FOLDER_CASES,
    GRAPH,
    MANIFEST,
    TRUNCATIONS,
    BytesCase,
    FolderCase,
)
from hostile_graph_cases import GRAPH_CASES
from hostile_graphs import GraphCase
from hostile_size_cases import SIZE_CASES

from diffkiln.runtime.bundle.seal import SEAL_BYTES, sealed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")

# What a user is promised for each of these bundles. The seconds are the processor's, since a shared
# machine has slow moments; a process that only waits is ended by a clock.
MAX_SECONDS = 5
MAX_PEAK_MB = 500

ALTERED = r"has \d+ bytes, expected \d+: (truncated|altered)|was altered: its SHA-256 is"
UNSEALED = "has no seal|has a broken seal"

Attempt = Callable[[Path], dict[str, Any]]


@pytest.fixture(scope="module")
def attempt() -> Iterator[Attempt]:
    """Open a bundle and sample one image, elsewhere: kind, message, seconds and peak_mb."""
    child = Path(__file__).parents[2] / "hostile_child.py"
    with subprocess.Popen(
        [sys.executable, child], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        stdin, stdout = process.stdin, process.stdout

        def attempted(bundle: Path) -> dict[str, Any]:
            stdin.write(f"{bundle}\n")
            stdin.flush()
            return json.loads(stdout.readline())

        yield attempted
        stdin.close()


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """What sampling needs of a sound bundle, and one graph more, to be spoiled."""
    (copy := tmp_path / "copy.bundle").mkdir()
    for name in (MANIFEST, GRAPH, "noise.onnx"):
        shutil.copy(tiny_bundle / name, copy / name)
    return copy


def require_refusal(outcome: dict[str, Any], pattern: str) -> None:
    assert outcome["kind"] == "BundleError", outcome
    assert re.search(pattern, outcome["message"]), outcome["message"]
    assert "\n" not in outcome["message"]
    assert len(outcome["message"]) < 2000
    assert outcome["seconds"] < MAX_SECONDS
    assert outcome["peak_mb"] < MAX_PEAK_MB


def list_again(bundle: Path, content: bytes) -> None:
    """Write sampler.onnx, with its size and hash right in the manifest."""
    (bundle / GRAPH).write_bytes(content)
    values = json.loads((bundle / MANIFEST).read_text())
    digest = hashlib.sha256(content).hexdigest()
    values["files"][GRAPH] = {"sha256": digest, "bytes": len(content)}
    (bundle / MANIFEST).write_text(json.dumps(values))


def require_three_refusals(attempt: Attempt, bundle: Path, model: bytes, pattern: str) -> None:
    content = model + (bundle / GRAPH).read_bytes()[-SEAL_BYTES:]
    (bundle / GRAPH).write_bytes(content)
    require_refusal(attempt(bundle), ALTERED)
    list_again(bundle, content)
    require_refusal(attempt(bundle), UNSEALED)
    list_again(bundle, sealed(model))
    require_refusal(attempt(bundle), pattern)


def test_the_sound_bundle_gives_images(attempt: Attempt, bundle: Path) -> None:
    assert attempt(bundle)["kind"] == "images"


def test_a_graph_sealed_again_gives_images(attempt: Attempt, bundle: Path) -> None:
    """So what is refused below is refused for its own sake."""
    model = onnx.load(bundle / GRAPH)
    del model.metadata_props[-1]
    list_again(bundle, sealed(model.SerializeToString()))
    assert attempt(bundle)["kind"] == "images"


@pytest.mark.parametrize("case", [*GRAPH_CASES, *SIZE_CASES], ids=lambda case: case.name)
def test_a_hostile_graph(attempt: Attempt, bundle: Path, case: GraphCase) -> None:
    model = onnx.load(bundle / GRAPH)
    del model.metadata_props[-1]
    case.change(model)
    require_three_refusals(attempt, bundle, model.SerializeToString(), case.pattern)


@pytest.mark.parametrize("case", BYTES_CASES, ids=lambda case: case.name)
def test_bytes_that_are_no_graph(attempt: Attempt, bundle: Path, case: BytesCase) -> None:
    model = case.change((bundle / GRAPH).read_bytes()[:-SEAL_BYTES])
    require_three_refusals(attempt, bundle, model, case.pattern)


@pytest.mark.parametrize("case", FOLDER_CASES, ids=lambda case: case.name)
def test_a_hostile_folder(attempt: Attempt, bundle: Path, case: FolderCase) -> None:
    case.change(bundle)
    require_refusal(attempt(bundle), case.pattern)


@pytest.mark.parametrize(("name", "tenth"), TRUNCATIONS)
def test_a_truncated_file(attempt: Attempt, bundle: Path, name: str, tenth: int) -> None:
    content = (bundle / name).read_bytes()
    cut = content[: len(content) * tenth // 10]
    (bundle / name).write_bytes(cut)
    require_refusal(attempt(bundle), "is not JSON" if name == MANIFEST else ": truncated")
    if name == GRAPH:
        list_again(bundle, cut)
        require_refusal(attempt(bundle), UNSEALED)


@pytest.mark.parametrize("at", range(FLIPS))
def test_a_flipped_bit(attempt: Attempt, bundle: Path, at: int) -> None:
    content = bytearray((bundle / GRAPH).read_bytes())
    content[(len(content) - 1) * at // (FLIPS - 1)] ^= 1 << at % 8
    (bundle / GRAPH).write_bytes(content)
    require_refusal(attempt(bundle), "was altered: its SHA-256 is")
    list_again(bundle, bytes(content))
    require_refusal(attempt(bundle), UNSEALED)


@pytest.mark.parametrize("at", range(12))
def test_a_flipped_byte_of_the_manifest(attempt: Attempt, bundle: Path, at: int) -> None:
    """The highest bit of a byte: lower ones may turn a number into another sound one."""
    content = bytearray((bundle / MANIFEST).read_bytes())
    content[(len(content) - 1) * at // 11] ^= 0x80
    (bundle / MANIFEST).write_bytes(content)
    require_refusal(attempt(bundle), "is not JSON")
