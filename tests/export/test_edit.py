"""The graph `edit`: steps from a noised photograph on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import PIXELS, run_onnx, small_bundle, small_network
from small_tables import random_tables, write_tables

pytestmark = pytest.mark.slow

SEEDS = np.array([0, 2**40], np.int64)


def feeds(steps: int, start: int) -> dict[str, Any]:
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    return {"images": images, "seeds": SEEDS, "steps": np.array(steps), "start": np.array(start)}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"eta": 1.0, "numbers_as_lists": True},
        {"solver": "dpmpp_2m", "time_grid": "linspace", "litert": True},
        {"solver": "dpmpp_2m", "schedule": "flow", "prediction": "velocity", "saved_model": True},
    ],
)
def test_it_is_the_reference_with_every_solver(tmp_path: Path, settings: dict[str, Any]) -> None:
    # Exporting compares it with the reference, beginning with a third of the steps done.
    bundle = small_bundle(tmp_path / "bundle", graphs=("sampler", "edit"), **settings)
    assert (bundle / "edit.onnx").is_file()


def test_tables_remember_no_step_before_the_start(tmp_path: Path) -> None:
    tables = random_tables(3, 5, 8)
    solver = {"solver": "dpmpp_2m", "time_grid": "linspace"}
    file = write_tables(tmp_path / "tables.json", small_network(), tables, **PIXELS, **solver)
    small_bundle(tmp_path / "bundle", graphs=("sampler", "edit"), tables=file, **solver)


def test_the_last_step_alone_gives_what_the_network_sees(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "bundle", graphs=("sampler", "edit"))
    (one,) = run_onnx(bundle / "edit.onnx", **feeds(1, 0))
    (all_steps,) = run_onnx(bundle / "edit.onnx", **feeds(10, 0))
    (last,) = run_onnx(bundle / "edit.onnx", **feeds(10, 9))
    assert (one != all_steps).any()
    assert (last != all_steps).any()
    with pytest.raises(Exception, match="expects_start_below_steps"):
        run_onnx(bundle / "edit.onnx", **feeds(10, 10))
    with pytest.raises(Exception, match="expects_start_below_steps"):
        run_onnx(bundle / "edit.onnx", **feeds(10, -1))
