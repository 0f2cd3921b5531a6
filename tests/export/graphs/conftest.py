"""Graphs that several tests read."""

from collections.abc import Callable
from functools import cache

import pytest
from small_graphs import exporter_of
from small_models import small_network

from diffkiln.export.graphs.assemble import OnnxExporter


@pytest.fixture(scope="session")
def small_exporter() -> Callable[..., OnnxExporter]:
    """The graphs of `small_network`, by η and precision."""

    @cache
    def exporter(*, eta: float = 0.0, half: bool = False) -> OnnxExporter:
        return exporter_of(small_network(), eta=eta, half=half)

    return exporter
