"""A bundle is whole or absent, and says what it is."""

import contextlib
import hashlib
import json
import shutil
import stat
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mounts import run_mounted
from small_models import (
    PIXELS,
    conditioned_network,
    small_bundle,
    small_exporter,
    small_network,
)

from diffkiln.export import export_bundle, publish
from diffkiln.export.publish import published
from diffkiln.runtime import Sampler
from diffkiln.trainer.errors import InputError

pytestmark = pytest.mark.slow


def manifest(bundle: Path) -> dict[str, Any]:
    return json.loads((bundle / "bundle.json").read_text())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = tmp_path_factory.mktemp("bundle") / "b"
    return small_bundle(bundle, graphs=("sampler", "noise"), saved_model=True)


def test_only_the_graphs_asked_for_are_there(bundle: Path) -> None:
    assert sorted(path.name for path in bundle.glob("*.onnx")) == ["noise.onnx", "sampler.onnx"]
    assert list(manifest(bundle)["graphs"]) == ["sampler", "noise"]


def test_manifest_has_the_hash_of_every_other_file(bundle: Path) -> None:
    files = {
        path.relative_to(bundle).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in bundle.rglob("*")
        if path.is_file() and path.name != "bundle.json"
    }
    assert {name: file["sha256"] for name, file in manifest(bundle)["files"].items()} == files


def test_manifest_describes_the_model(bundle: Path) -> None:
    content = manifest(bundle)
    assert content["image"] == {"height": 8, "width": 8, "channels": 3, "dtype": "uint8"}
    assert content["schedule"]["max_signal_rate"] == 0.95
    assert content["pixel_mean"] == list(PIXELS["pixel_mean"])
    assert content["model"]["parameters"] == small_network().count_params()


def test_certificate_covers_every_form(bundle: Path) -> None:
    certificate = manifest(bundle)["certificate"]
    assert set(certificate["to_reference"]) == {
        "sampler.onnx",
        "saved_model serving_default",
        "saved_model from_noise",
        "saved_model denoise",
        "saved_model encode",
        "saved_model trajectory",
        "saved_model inpaint",
        "saved_model edit",
    }
    assert certificate["tolerance"] == 1 / 255


def test_an_existing_bundle_stays_without_overwrite(bundle: Path) -> None:
    before = (bundle / "bundle.json").read_bytes()
    with pytest.raises(InputError, match="exists; add --overwrite"):
        small_bundle(bundle)
    assert (bundle / "bundle.json").read_bytes() == before


def test_overwriting_replaces_all_of_what_a_link_leads_to(bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "b")
    (tmp_path / "link").symlink_to("b")
    small_bundle(tmp_path / "link", overwrite=True, image_dtype="float32")
    assert (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "link"]
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [
        "bundle.json",
        "sampler.onnx",
    ]
    content = manifest(tmp_path / "b")
    assert content["image"]["dtype"] == "float32"
    assert list(content["certificate"]["to_reference"]) == ["sampler.onnx"]
    assert "onnx_to_saved_model" not in content["certificate"]


def test_overwrite_spares_what_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").touch()
    with pytest.raises(InputError, match="exists and is not a bundle"):
        small_bundle(tmp_path / "photos", overwrite=True)
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["1.jpg"]


def test_weights_that_are_not_finite_fail_and_leave_nothing(tmp_path: Path) -> None:
    network = small_network()
    network.trainable_variables[0].assign(np.full(network.trainable_variables[0].shape, np.nan))
    with pytest.raises(InputError, match=r"network: .* not finite"):
        export_bundle(network, tmp_path / "b", **PIXELS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pixel_mean": (0.5, 0.5)}, "pixel_mean=.*each of 3 channels"),
        ({"pixel_std": (0.2, 0.0, 0.2)}, "pixel_std=.*from 1e-06 to 1"),
        ({"pixel_std": float("nan")}, "pixel_std=nan: expected one number"),
        ({"pixel_mean": (127, 127, 127)}, "pixel_mean=.*in units where pixels lie in"),
        ({"prediction": "score"}, "prediction=score: expected one of noise, velocity, image"),
        ({"image_dtype": "int8"}, "image_dtype=int8: expected one of uint8, float32"),
        ({"graphs": ("noise",)}, "graphs=noise: expected sampler and"),
        ({"graphs": ("sampler", "poem")}, "graphs=sampler,poem: expected"),
        ({"graphs": ("sampler", "encoder")}, "graphs=encoder: there is no encoder; give it, or le"),
        ({"graphs": ("sampler", "upscaler")}, "graphs=upscaler: there is no second stage; give i"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        small_bundle(tmp_path / "b", **settings)
    assert not list(tmp_path.iterdir())


def test_a_trajectory_may_have_two_channels(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"pixel_mean": 0.5, "pixel_std": 0.3, "saved_model": False}
    graphs = ("sampler", "noise", "step")
    export_bundle(conditioned_network((4, 6, 2)), tmp_path / "b", graphs=graphs, **settings)
    with Sampler(tmp_path / "b", device="cpu") as sampler:
        frames = sampler.trajectory(2, steps=3)
        np.testing.assert_array_equal(frames[-1], sampler.sample(2, steps=3))


def test_one_number_stands_for_all_channels() -> None:
    signatures = small_exporter(conditioned_network(), pixel_mean=0.5, pixel_std=0.25).signatures
    assert signatures.sampling.denoiser.pixel_std == (0.25,) * 3


@pytest.mark.parametrize("moves", range(6))
def test_an_overwrite_that_is_interrupted_leaves_the_older_bundle(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    shutil.copytree(bundle, tmp_path / "b")
    before, rename, done = names(tmp_path / "b"), Path.rename, []

    def interrupted(source: Path, target: Path) -> Path:
        done.append(target)
        if len(done) == moves + 1:
            raise KeyboardInterrupt
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        publish_two_files(tmp_path / "b")
    assert manifest(tmp_path / "b") == manifest(bundle)
    assert names(tmp_path / "b") == before
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def publish_two_files(bundle: Path, meanwhile: Path | None = None) -> None:
    with published(bundle) as part:
        (part / "bundle.json").write_text("{}")
        (part / "sampler.onnx").touch()
        if meanwhile is not None:
            meanwhile.touch()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_a_prepared_folder_is_filled_and_an_old_bundles_files_replaced(tmp_path: Path) -> None:
    (folder := tmp_path / "b").mkdir()
    folder.chmod(0o2770)
    small_bundle(folder, graphs=("sampler", "noise"))
    assert names(folder) == ["bundle.json", "noise.onnx", "sampler.onnx"]
    (folder / "notes.txt").write_text("mine")
    small_bundle(folder, overwrite=True)
    assert names(folder) == ["bundle.json", "notes.txt", "sampler.onnx"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o2770
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


PUBLISH = """
import sys
from pathlib import Path
from diffkiln.export.publish import published
with published(Path(sys.argv[1])) as part:
    (part / "bundle.json").write_text("{}")
"""


def test_a_mounted_folder_is_filled(tmp_path: Path) -> None:
    (source := tmp_path / "source").mkdir()
    (target := tmp_path / "target").mkdir()
    for _ in range(2):  # empty, then with an older bundle
        done = run_mounted(source, target, [sys.executable, "-c", PUBLISH, target])
        assert (done.returncode, done.stderr) == (0, "")
        assert names(source) == ["bundle.json"]


def test_a_bundle_that_cannot_be_moved_stays_whole(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="complete bundle is") as caught:
        publish_two_files(tmp_path / "b", meanwhile=tmp_path / "b")
    _, _, kept = str(caught.value).partition("the complete bundle is ")
    assert names(Path(kept)) == ["bundle.json", "sampler.onnx"]
    assert (tmp_path / "b").is_file()


def half_written(bundle: Path) -> None:
    with published(bundle) as part:
        (part / "sampler.onnx").write_bytes(b"half of it")
        raise KeyboardInterrupt


def test_an_export_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        half_written(tmp_path / "b")
    assert not list(tmp_path.iterdir())


def test_a_termination_that_native_code_swallowed_still_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "_terminated", threading.Event())
    with (
        pytest.raises(SystemExit, match="143"),
        publish.published(tmp_path / "b"),
        contextlib.suppress(SystemExit),
    ):
        publish.terminate()
    assert not list(tmp_path.iterdir())
