"""What a manifest says of conditions, and what it may not say."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from given_conditions import of
from small_manifest import AGE, SKETCH, TEXT, conditioned, manifest, write

from diffkiln.runtime import BundleError, Sampler, open_bundle


def test_conditions_are_read_in_order(tmp_path: Path) -> None:
    bundle = open_bundle(write(tmp_path, conditioned(TEXT, AGE, SKETCH)))
    assert [str(condition) for condition in bundle.conditions] == [
        "text float32[2, 3] (two words, as numbers)",
        "age int64[] from 3 to 9",
        "sketch uint8[4, 5, 1]",
    ]
    assert [condition.null for condition in bundle.conditions] == [0, None, None]
    assert bundle.is_guided
    assert bundle.graph("sampler").essentials["conditions"] == [TEXT, AGE, SKETCH]


def test_guidance_needs_something_to_leave_out(tmp_path: Path) -> None:
    assert not open_bundle(write(tmp_path, conditioned(AGE, SKETCH))).is_guided
    assert "conditions" not in open_bundle(write(tmp_path, manifest())).graph("sampler").essentials


def test_an_example_is_in_range(tmp_path: Path) -> None:
    below = AGE | {"name": "below", "minimum": -9, "maximum": -2}
    bundle = open_bundle(write(tmp_path, conditioned(AGE, below, TEXT)))
    age, text, number = (bundle.conditions[place].example() for place in (0, 2, 1))
    assert (age, number) == (3, -2)
    np.testing.assert_array_equal(text, np.zeros((2, 3), np.float32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Text"}, r"conditions\[0\].name is 'Text', expected a name of at most 32"),
        ({"name": "t" * 33}, r"conditions\[0\].name is 'tttt"),
        ({"name": "text\n"}, r"conditions\[0\].name is 'text\\n'"),
        ({"name": "guidance"}, r"conditions\[0\].name is guidance, expected one that is not taken"),
        ({"name": "next_noisy"}, "name is next_noisy, expected one that is not taken, and without"),
        ({"name": "age"}, r"conditions\[1\].name is age, expected one that is not taken"),
        ({"dtype": "float16"}, r"conditions\[0\].dtype is 'float16', expected uint8 or float32"),
        ({"shape": [0]}, r"conditions\[0\].shape\[0\] is 0, expected a positive whole number"),
        ({"shape": ["N"]}, r"conditions\[0\].shape\[0\] is 'N', expected a positive whole number"),
        ({"shape": [2] * 8}, r"conditions\[0\].shape is .* at most 7 positive whole numbers"),
        (
            {"shape": [2**30, 2**30]},
            r"conditions have \d+ numbers in all, expected at most 16777216",
        ),
        ({"description": "a\x1b[31m"}, "description is 'a.*', expected one line of printable"),
        ({"description": "a" * 1001}, "description is .*, expected a text of at most 1000"),
        ({"minimum": 1}, "has the limits 1 and None, expected rising ones, and for int64 alone"),
        ({"maximum": 2**63, "dtype": "int64"}, "maximum is 9223372036854775808, expected a whole"),
        ({"dtype": "int64", "minimum": 3, "maximum": 2}, "has the limits 3 and 2, expected rising"),
        ({"null": None}, r"null is None, expected a number or lists of numbers"),
        ({"null": True}, r"null is True, expected a number or lists of numbers"),
        ({"null": [0, 0]}, r"null is \[0, 0\], expected a number or lists of the shape \[2, 3\]"),
        ({"null": [[0, 0, 0], [0, 0]]}, r"lists of the shape \[2, 3\], of float32"),
        ({"null": [[0, 0, 0], [0, 0, "a"]]}, r"lists of the shape \[2, 3\], of float32"),
        ({"null": 1e300}, r"null is 1e\+300|null is 1000"),
        ({"dtype": "uint8", "null": 256}, r"null is 256, expected a number or lists .* of uint8"),
        ({"dtype": "int64", "null": 0.5}, r"null is 0\.5, expected a number or lists .* of int64"),
        ({"pixel_mean": [2]}, r"conditions\[0\].pixel_mean\[0\] is 2"),
        ({"default": [0]}, r"conditions\[0\].default is \[0\], expected a number"),
        ({"default": 1e300}, r"default is .*, expected a number or lists .* of float32"),
        (
            {"dtype": "uint8", "default": -1},
            "default is -1, expected a number or lists .* of uint8",
        ),
        ({"dtype": "int64", "minimum": 1, "default": 0}, "default is 0, expected a number from 1"),
    ],
)
def test_a_wrong_condition(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message) as caught:
        open_bundle(write(tmp_path, conditioned(TEXT | change, AGE)))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_too_many_conditions(tmp_path: Path) -> None:
    most = [AGE | {"name": f"age{number}"} for number in range(17)]
    assert len(open_bundle(write(tmp_path, conditioned(*most[1:]))).conditions) == 16
    with pytest.raises(BundleError, match=r"conditions is .*, expected a list of at most 16"):
        open_bundle(write(tmp_path, conditioned(*most)))


def test_null_may_be_any_number_of_the_dtype(tmp_path: Path) -> None:
    """Such as the number of no class, which nobody may give as a condition."""
    nulls = [TEXT | {"null": [[0.5, 1, 2]] * 2}, AGE | {"null": 10}, SKETCH | {"null": 255}]
    assert open_bundle(write(tmp_path, conditioned(*nulls))).guides_conditions


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["conditions"][0].update(null=0), r"conditions\[0\].null is 0.5, expected 0"),
        (lambda v: v["conditions"][1].pop("maximum"), r"conditions\[1\].maximum is 9, expected no"),
        (lambda v: v.pop("conditions"), "the graph 'step' is .*, expected 5 outputs"),
    ],
)
def test_the_sampler_says_the_same(
    conditions_bundle: Path,
    tmp_path: Path,
    change: Callable[[dict[str, Any]], object],
    message: str,
) -> None:
    bundle = Path(shutil.copytree(conditions_bundle, tmp_path / "copy.bundle"))
    values = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    change(values)
    (bundle / "bundle.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(BundleError, match=message):
        Sampler(bundle, device="cpu").sample(1, steps=1, conditions=of(0))


@pytest.mark.parametrize("change", ["missing", "dtype", "shape", "order"])
def test_the_graphs_must_take_the_conditions(tmp_path: Path, change: str) -> None:
    values = conditioned(TEXT, AGE)
    inputs = values["graphs"]["sampler"]["inputs"]
    if change == "missing":
        del inputs[-1]
    elif change == "order":
        inputs[-2:] = inputs[:-3:-1]
    else:
        inputs[-2][change] = {"dtype": "uint8", "shape": ["N", 3, 2]}[change]
    expected = r"expected text float32\[N, 2, 3\], age int64\[N\] as 'conditions' says"
    with pytest.raises(BundleError, match=f"last inputs of the graph 'sampler' are .*{expected}"):
        open_bundle(write(tmp_path, values))


def test_an_unrolled_graph_has_a_row_for_each_of_its_images(tmp_path: Path) -> None:
    values = conditioned(AGE)
    values["sampler"]["unrolled"] = {"steps": 2, "batch": 4}
    for port in values["graphs"]["sampler"]["inputs"] + values["graphs"]["sampler"]["outputs"]:
        port["shape"] = [4 if size == "N" else size for size in port["shape"]]
    assert open_bundle(write(tmp_path, values)).unrolled_batch == 4
    values["graphs"]["sampler"]["inputs"][-1]["shape"] = ["N"]
    with pytest.raises(BundleError, match=r"age int64\[N\], expected age int64\[4\]"):
        open_bundle(write(tmp_path, values))


def test_the_noise_takes_no_conditions_and_a_step_gives_none_back(tmp_path: Path) -> None:
    values = conditioned(TEXT, AGE)
    sampler, graphs = values["graphs"]["sampler"], values["graphs"]
    image = {"name": "noise", "dtype": "float32", "shape": ["N", 8, 6, 3]}
    graphs["noise"] = sampler | {"inputs": sampler["inputs"][:1], "outputs": [image]}
    step = {"name": "step", "dtype": "int64", "shape": []}
    inputs = [step, sampler["inputs"][1], image | {"name": "noisy"}, *sampler["inputs"][2:]]
    outputs = [image | {"name": "next_noisy"}, *sampler["outputs"]]
    graphs["step"] = sampler | {"inputs": inputs, "outputs": outputs}
    assert open_bundle(write(tmp_path, values)).carried() == ["noisy"]
