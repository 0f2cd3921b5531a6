"""An error says where a graph's metadata and the manifest differ."""

from typing import Any

import pytest

from diffkiln.runtime.bundle.differences import difference


@pytest.mark.parametrize(
    ("value", "expected", "words"),
    [
        (3, 9, "then is 3, expected 9"),
        ({"model": {"a": 1, "b": 2}}, {"model": {"a": 1, "b": 3}}, "then.model.b is 2, expected 3"),
        ({}, {"training": 1}, "then.training is missing, expected 1"),
        ({"training": 1}, {}, "then.training is 1, expected none"),
        ({"std": [2, 1]}, {"std": [9, 1]}, "then.std is [2, 1], expected [9, 1]"),
        ([*range(7)], [*range(8)], "then[7] is missing, expected 7"),
        ([{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 3}], "then[1].a is 2, expected 3"),
        ({"a": [1]}, {"a": {"b": 1}}, "then.a is [1], expected {'b': 1}"),
        ("a" * 90 + "b" * 90, "a" * 180, f"then is '…{'a' * 12}bbb"),
        ({"\n": 1}, {"\n": 2}, "then.\\n is 1, expected 2"),
    ],
)
def test_the_innermost_entry_is_named(value: Any, expected: Any, words: str) -> None:
    text = difference("then", value, expected)
    assert text.startswith(words)
    assert text.isprintable()
