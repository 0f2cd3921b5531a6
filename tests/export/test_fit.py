"""How pictures of another shape became images goes into the bundle, for photographs."""

from pathlib import Path
from typing import Any

import pytest
from pictures import picture
from small_models import small_bundle, small_exporter
from training_runs import train_here

from diffkiln.export import Baking, export_run
from diffkiln.export.manifest import essentials
from diffkiln.runtime import Sampler, open_bundle

pytestmark = pytest.mark.slow


def test_only_another_fit_than_the_usual_one_is_named() -> None:
    signatures = small_exporter().signatures
    plain = essentials(signatures, Baking(), 0)
    cropped, padded = (essentials(signatures, Baking(), 0, fit=fit) for fit in ("crop", "pad"))
    assert plain == cropped
    assert padded == {**plain, "image": {**plain["image"], "fit": "pad"}}


def test_the_fit_of_a_network_is_in_its_bundle(tmp_path: Path) -> None:
    bundle = open_bundle(small_bundle(tmp_path / "b", fit="pad"))
    assert bundle.fit == "pad"
    with Sampler(bundle, device="cpu") as sampler:
        assert sampler.sample(2, steps=1).shape == (2, 8, 8, 3)


def test_the_fit_of_a_run_is_in_its_bundle(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number in range(8):
        image = picture(number, 24).crop((0, 0, 24, 16))
        image.save(tmp_path / "data" / f"{number}.png")
    data: dict[str, Any] = {"data": f"folder:{tmp_path / 'data'}", "fit": "stretch"}
    train_here(tmp_path / "r", train_steps=1, **data)
    export_run(tmp_path / "r", tmp_path / "b", graphs=("sampler",), saved_model=False)
    assert open_bundle(tmp_path / "b").fit == "stretch"
