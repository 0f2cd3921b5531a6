"""docs/bundle.md and bundle.schema.json say what the code does."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from diffkiln.export.reference_noise import reference_noise, reference_words
from diffkiln.export.schema import check_manifest, manifest_schema
from diffkiln.trainer.config import CONDITIONINGS, PREDICTIONS, SCHEDULES, SOLVERS, TIME_GRIDS
from diffkiln.trainer.errors import InputError

PAGE = Path(__file__).parents[2].joinpath("docs", "bundle.md").read_text(encoding="utf-8")
GOLDEN_ROW = re.compile(r"^\| (\d+) \| (\d) \| `(\w+) (\w+)`, `(\w+) (\w+)` \| (.*) \|$", re.M)


@pytest.fixture(scope="module")
def manifest(tiny_bundle: Path) -> dict[str, Any]:
    return json.loads((tiny_bundle / "bundle.json").read_text())


def test_the_pages_golden_vectors_are_right() -> None:
    rows = GOLDEN_ROW.findall(PAGE)
    assert len(rows) == 5
    for seed, stream, *words, numbers in rows:
        found = reference_words(int(seed), 2, stream=int(stream))
        assert [int(word, 16) for word in words] == np.stack(found, axis=1).ravel().tolist()
        noise = reference_noise([int(seed)], (1, 1, 4), stream=int(stream)).ravel()
        np.testing.assert_allclose([float(n) for n in numbers.split(",")], noise, atol=6e-8)


def test_the_page_names_every_choice_and_every_entry(manifest: dict[str, Any]) -> None:
    for name in (*CONDITIONINGS, *PREDICTIONS, *SCHEDULES, *SOLVERS, *TIME_GRIDS, *manifest):
        assert f"`{name}`" in PAGE


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(manifest_schema())


def test_the_schema_has_every_solver(manifest: dict[str, Any]) -> None:
    for solver in SOLVERS:
        changed = copy.deepcopy(manifest)
        changed["sampler"]["solver"] = solver
        check_manifest(changed, Path("bundle.json"))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("format_version",), 2, "format_version is not as"),
        (("image", "channels"), 7, "image/channels is not as"),
        (("sampler", "eta"), -0.5, "sampler/eta is not as"),
        (("graphs", "sampler", "opset"), 13, "graphs/sampler/opset is not as"),
        (("files", "sampler.onnx", "sha256"), "abc", "files/sampler.onnx/sha256 is not as"),
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
    with pytest.raises(InputError, match=words):
        check_manifest(changed, Path("bundle.json"))
