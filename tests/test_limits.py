"""Limits of the trainer and the exporter are those of the bundles that the runtime opens."""

import json
from pathlib import Path

import pytest

from diffkiln.export.model import Model
from diffkiln.runtime.checking.limits import MAX_GRAPH_BYTES
from diffkiln.trainer.config import MAX_SIDE, MOST_CLASSES, MOST_NAME_CHARACTERS, is_class_name
from diffkiln.trainer.errors import InputError

SCHEMA = json.loads(
    (Path(__file__).parents[1] / "runtime" / "bundle" / "bundle.schema.json").read_text()
)


def test_the_numbers_are_the_schemas() -> None:
    classes = SCHEMA["properties"]["model"]["properties"]["class_names"]
    assert classes["maxItems"] == MOST_CLASSES
    assert classes["items"]["maxLength"] == MOST_NAME_CHARACTERS
    assert SCHEMA["definitions"]["side"]["maximum"] == MAX_SIDE


@pytest.mark.parametrize("name", ["rose", "x" * 100, "blåklokke", "a rose, red", "薔薇"])
def test_names_that_an_export_takes(name: str) -> None:
    assert is_class_name(name)
    assert Model(0.5, 0.5, class_names=[name]).class_names == (name,)


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "two\nlines", "tab\t", "\udce9", "\x7f"])
def test_names_that_an_export_refuses(name: str) -> None:
    assert not is_class_name(name)
    with pytest.raises(InputError, match="class_names"):
        Model(0.5, 0.5, class_names=[name])


def test_a_network_that_may_be_trained_fits_a_graph() -> None:
    pytest.importorskip("tensorflow")
    from diffkiln.trainer.network.unet import MOST_PARAMETERS

    assert 4 * MOST_PARAMETERS < MAX_GRAPH_BYTES
