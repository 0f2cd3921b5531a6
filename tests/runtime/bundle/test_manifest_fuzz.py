"""Whatever stands in bundle.json, opening it gives a Bundle or a BundleError, and nothing else."""

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_manifest import AGE, SKETCH, TEXT, conditioned, manifest

from diffkiln.runtime import Bundle, BundleError
from diffkiln.runtime.bundle.bundle import open_bundle
from diffkiln.runtime.checking import Signature

SOUND = json.dumps(manifest())

NUMBERS = st.integers(-(2**70), 2**70) | st.floats() | st.sampled_from([0, 1, -1, 2**31, 1e308])
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def places(values: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all entries."""
    lists = enumerate(values) if isinstance(values, list) else ()
    inner = values.items() if isinstance(values, dict) else lists
    return [path] * bool(path) + [p for key, value in inner for p in places(value, (*path, key))]


@st.composite
def changed_manifests(draw: st.DrawFn) -> Any:
    """The sound manifest after one to three changes: an entry removed, replaced, nested, moved."""
    values = draw(st.sampled_from([manifest(), conditioned(TEXT, AGE, SKETCH)]))
    for _ in range(draw(st.integers(1, 3))):
        *path, key = draw(st.sampled_from(places(values)))
        parent = values
        for name in path:
            parent = parent[name]
        kind = draw(st.sampled_from(["remove", "replace", "nest", "copy", "add"]))
        if kind == "remove":
            del parent[key]
        elif kind == "replace":
            parent[key] = draw(VALUES)
        elif kind == "nest":
            parent[key] = draw(st.sampled_from([[parent[key]], {"value": parent[key]}]))
        elif kind == "add" and isinstance(parent, dict):
            parent[draw(st.text(max_size=10))] = copy.deepcopy(draw(VALUES))
        else:
            other = values
            for name in draw(st.sampled_from(places(values))):
                other = other[name]
            parent[key] = copy.deepcopy(other)
    return values


def require_bundle_or_error(text: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "bundle.json").write_bytes(text)
        try:
            require_types(open_bundle(folder))
        except BundleError as error:
            message = str(error)
        else:
            return
    assert len(message) < 1500
    assert message.isprintable()


def require_types(bundle: Bundle) -> None:
    numbers = [*bundle.sample_shape, bundle.default_steps, bundle.max_steps]
    numbers += [n for n in (bundle.unrolled_steps, bundle.unrolled_batch) if n is not None]
    assert all(type(number) is int and number > 0 for number in numbers)
    assert bundle.sample_dtype in ("uint8", "float32")
    assert "sampler" in bundle.graphs
    for condition in bundle.conditions:
        assert str(condition).isprintable()
        condition.numbers(condition.example())
    for graph in bundle.graphs.values():
        assert isinstance(graph.size_bytes, int)
        assert isinstance(graph.signature, Signature)
        assert len(graph.sha256) == 64
        with pytest.raises(BundleError, match=r"is missing|cannot be read"):
            graph.content()


@given(changed_manifests())
@settings(max_examples=200)
def test_changed_manifests(values: Any) -> None:
    require_bundle_or_error(json.dumps(values).encode())


@given(VALUES)
@settings(max_examples=50)
def test_any_json(values: Any) -> None:
    require_bundle_or_error(json.dumps(values).encode())


@given(st.binary(max_size=200))
@settings(max_examples=50)
def test_any_bytes(text: bytes) -> None:
    require_bundle_or_error(text)


@given(st.integers(0, len(SOUND)), st.integers(0, 8), st.binary(max_size=8))
@settings(max_examples=150)
def test_any_bytes_within_a_sound_manifest(start: int, length: int, text: bytes) -> None:
    sound = SOUND.encode()
    require_bundle_or_error(sound[:start] + text + sound[start + length :])
