"""docs/bundle.md and bundle.schema.json say what the code does."""

import copy
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from diffkiln.export.proof.reference_noise import reference_noise, reference_words
from diffkiln.runtime.bundle.manifest import check_manifest
from diffkiln.runtime.errors import BundleError
from diffkiln.trainer.config import (
    ALL_PREDICTIONS,
    ALL_SCHEDULES,
    CONDITIONINGS,
    SOLVERS,
    TIME_GRIDS,
)

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "bundle.md").read_text(encoding="utf-8")
SCHEMA = json.loads(
    (ROOT / "runtime" / "bundle" / "bundle.schema.json").read_text(encoding="utf-8")
)
GOLDEN_ROW = re.compile(r"^\| (\d+) \| (\d) \| `(\w+) (\w+)`, `(\w+) (\w+)` \| (.*) \|$", re.M)


@pytest.fixture(scope="module")
def manifest(tiny_bundle: Path) -> dict[str, Any]:
    return json.loads((tiny_bundle / "bundle.json").read_text())


def test_the_pages_golden_vectors_are_right() -> None:
    rows = GOLDEN_ROW.findall(PAGE)
    assert len(rows) == 5
    for seed, stream, *words, numbers in rows:
        pairs = reference_words(int(seed), 2, stream=int(stream))
        assert [int(word, 16) for word in words] == np.stack(pairs, axis=1).ravel().tolist()
        noise = reference_noise([int(seed)], (1, 1, 4), stream=int(stream)).ravel()
        np.testing.assert_allclose([float(n) for n in numbers.split(",")], noise, atol=6e-8)


def test_the_page_names_every_choice_and_every_entry(manifest: dict[str, Any]) -> None:
    names = (*CONDITIONINGS, *ALL_PREDICTIONS, *ALL_SCHEDULES, *SOLVERS, *TIME_GRIDS, *manifest)
    for name in names:
        assert f"`{name}`" in PAGE


def test_the_page_says_how_to_check_a_seal(tiny_bundle: Path) -> None:
    line = "whole = content[-65:-1] == hashlib.sha256(content[:-87]).hexdigest().encode()"
    assert line in PAGE
    for path in tiny_bundle.glob("*.onnx"):
        content = path.read_bytes()
        assert content[-65:-1] == hashlib.sha256(content[:-87]).hexdigest().encode()


def test_another_reader_of_schemas_takes_schema_and_manifest(manifest: dict[str, Any]) -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.Draft7Validator(SCHEMA).validate(manifest)


def test_the_schema_has_every_solver(manifest: dict[str, Any]) -> None:
    for solver in SOLVERS:
        changed = copy.deepcopy(manifest)
        changed["sampler"]["solver"] = solver
        check_manifest(changed, Path("bundle.json"))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("format_version",), 7, "'format_version' is 7, expected at most 6"),
        (("image", "channels"), 7, "image.channels is 7, expected a whole number from 1 to 4"),
        (("sampler", "eta"), -0.5, r"sampler.eta is -0\.5, expected a number from 0 to 1"),
        (("graphs", "sampler", "opset"), 13, "graphs.sampler.opset is 13, expected 18"),
        (
            ("files", "sampler.onnx", "sha256"),
            "abc",
            "sha256 is 'abc', expected 64 hexadecimal digits",
        ),
    ],
)
def test_a_manifest_that_breaks_the_schema_is_named(
    manifest: dict[str, Any], path: tuple[str, ...], value: object, words: str
) -> None:
    changed = copy.deepcopy(manifest)
    place = changed
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(BundleError, match=words):
        check_manifest(changed, Path("bundle.json"))
