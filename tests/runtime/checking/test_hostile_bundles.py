"""Damaged and hostile bundles end in a BundleError, quickly and in little memory: never in a crash.

Each is opened and sampled from in a process of its own. A hostile graph is tried three times there:
as it is, with the manifest's size and hash made right again, and with its seal made right as well.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
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
    BytesCase,
    FolderCase,
)
from hostile_graph_cases import GRAPH_CASES
from hostile_graphs import GraphCase
from hostile_size_cases import SIZE_CASES

from diffkiln.runtime.bundle.seal import SEAL_BYTES, sealed

pytestmark = pytest.mark.slow

# What a user is promised for each of these bundles. The seconds are the processor's, since a shared
# machine has slow moments; a process that only waits is ended by a clock.
MAX_SECONDS = 5
MAX_PEAK_MB = 500

CHILD = Path(__file__).parents[2] / "hostile_child.py"
ALTERED = r"has \d+ bytes, expected \d+: (truncated|altered)|was altered: its SHA-256 is"
UNSEALED = "has no seal|has a broken seal"

Attempt = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def attempt() -> Iterator[Attempt]:
    """Open bundles and sample one image of each, elsewhere: kind, message, seconds and peak_mb."""
    with subprocess.Popen(
        [sys.executable, CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        stdin, stdout = process.stdin, process.stdout

        def attempted(*bundles: Path) -> list[dict[str, Any]]:
            print(json.dumps(list(map(str, bundles))), file=stdin, flush=True)
            return json.loads(stdout.readline())

        yield attempted
        stdin.close()


@pytest.fixture(scope="module")
def sound(tiny_bundle: Path) -> onnx.ModelProto:
    """The sampler's graph without its seal, for tests that copy it."""
    model = onnx.load(tiny_bundle / GRAPH)
    del model.metadata_props[-1]
    return model


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """What sampling needs of a sound bundle, and one graph more, to be spoiled."""
    (copy := tmp_path / "copy.bundle").mkdir()
    for name in (MANIFEST, GRAPH, "noise.onnx"):
        shutil.copy(tiny_bundle / name, copy / name)
    return copy


def require_refusals(outcomes: list[dict[str, Any]], patterns: Sequence[str]) -> None:
    assert [outcome["kind"] for outcome in outcomes] == ["BundleError"] * len(patterns), outcomes
    for outcome, pattern in zip(outcomes, patterns, strict=True):
        assert re.search(pattern, outcome["message"]), outcome["message"]
        assert "\n" not in outcome["message"]
        assert len(outcome["message"]) < 2000
        assert outcome["seconds"] < MAX_SECONDS
        assert outcome["peak_mb"] < MAX_PEAK_MB


def with_graph(folder: Path, source: Path, content: bytes, *, listed: bool = True) -> Path:
    """A bundle with another sampler.onnx, and its size and hash in the manifest if `listed`."""
    folder.mkdir()
    (folder / GRAPH).write_bytes(content)
    values = json.loads((source / MANIFEST).read_text())
    if listed:
        digest = hashlib.sha256(content).hexdigest()
        values["files"][GRAPH] = {"sha256": digest, "bytes": len(content)}
    (folder / MANIFEST).write_text(json.dumps(values))
    return folder


@pytest.fixture
def require_three_refusals(
    attempt: Attempt, tiny_bundle: Path, tmp_path: Path
) -> Callable[[bytes, str], None]:
    """Try a graph as it is, then listed with its own hash, then sealed again."""
    seal = (tiny_bundle / GRAPH).read_bytes()[-SEAL_BYTES:]

    def require(model: bytes, pattern: str) -> None:
        bundles = [
            with_graph(tmp_path / "altered", tiny_bundle, model + seal, listed=False),
            with_graph(tmp_path / "listed", tiny_bundle, model + seal),
            with_graph(tmp_path / "sealed", tiny_bundle, sealed(model)),
        ]
        require_refusals(attempt(*bundles), [ALTERED, UNSEALED, pattern])

    return require


def test_sound_bundles_give_images(
    attempt: Attempt, tiny_bundle: Path, sound: onnx.ModelProto, tmp_path: Path
) -> None:
    """One graph is sealed again, so what is refused below is refused for its own sake."""
    again = with_graph(tmp_path / "again", tiny_bundle, sealed(sound.SerializeToString()))
    assert [outcome["kind"] for outcome in attempt(tiny_bundle, again)] == ["images"] * 2


def test_bundles_are_tried_where_there_is_no_fork(tiny_bundle: Path, bundle: Path) -> None:
    (bundle / GRAPH).unlink()
    program = (
        "import os, runpy, sys; del os.fork; sys.modules['resource'] = None; sys.argv = "
        f"[{str(CHILD)!r}]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps([str(tiny_bundle), str(bundle)]),
        capture_output=True,
        text=True,
        check=True,
    )
    assert [outcome["kind"] for outcome in json.loads(done.stdout)] == ["images", "BundleError"]


@pytest.mark.parametrize("case", [*GRAPH_CASES, *SIZE_CASES], ids=lambda case: case.name)
def test_a_hostile_graph(
    require_three_refusals: Callable, sound: onnx.ModelProto, case: GraphCase
) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(sound)
    case.change(model)
    require_three_refusals(model.SerializeToString(), case.pattern)


@pytest.mark.parametrize("case", BYTES_CASES, ids=lambda case: case.name)
def test_bytes_that_are_no_graph(
    require_three_refusals: Callable, tiny_bundle: Path, case: BytesCase
) -> None:
    content = (tiny_bundle / GRAPH).read_bytes()[:-SEAL_BYTES]
    require_three_refusals(case.change(content), case.pattern)


@pytest.mark.parametrize("case", FOLDER_CASES, ids=lambda case: case.name)
def test_a_hostile_folder(attempt: Attempt, bundle: Path, case: FolderCase) -> None:
    case.change(bundle)
    require_refusals(attempt(bundle), [case.pattern])


@pytest.mark.parametrize("name", [GRAPH, MANIFEST])
@pytest.mark.parametrize("tenth", range(10))
def test_a_truncated_file(attempt: Attempt, bundle: Path, name: str, tenth: int) -> None:
    content = (bundle / name).read_bytes()
    cut = content[: len(content) * tenth // 10]
    (bundle / name).write_bytes(cut)
    if name == MANIFEST:
        require_refusals(attempt(bundle), ["is not JSON"])
    else:
        listed = with_graph(bundle.with_name("listed"), bundle, cut)
        require_refusals(attempt(bundle, listed), [": truncated", UNSEALED])


@pytest.mark.parametrize("at", range(FLIPS))
def test_a_flipped_bit(attempt: Attempt, bundle: Path, at: int) -> None:
    content = bytearray((bundle / GRAPH).read_bytes())
    content[(len(content) - 1) * at // (FLIPS - 1)] ^= 1 << at % 8
    (bundle / GRAPH).write_bytes(content)
    listed = with_graph(bundle.with_name("listed"), bundle, bytes(content))
    require_refusals(attempt(bundle, listed), ["was altered: its SHA-256 is", UNSEALED])


@pytest.mark.parametrize("at", range(12))
def test_a_flipped_byte_of_the_manifest(attempt: Attempt, bundle: Path, at: int) -> None:
    """The highest bit of a byte: lower ones may turn a number into another sound one."""
    content = bytearray((bundle / MANIFEST).read_bytes())
    content[(len(content) - 1) * at // 11] ^= 0x80
    (bundle / MANIFEST).write_bytes(content)
    require_refusals(attempt(bundle), ["is not JSON"])
