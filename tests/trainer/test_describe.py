"""The output of --describe."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, Command
from pictures import save_pictures
from PIL import Image

from diffkiln.trainer.config import NetworkConfig
from diffkiln.trainer.data.load import planned_cache
from diffkiln.trainer.describe import describe, plan
from diffkiln.trainer.network.size import levels, multiply_adds
from diffkiln.trainer.network.unet import build_unet
from diffkiln.trainer.presets import preset_config
from diffkiln.trainer.run.directory import RunDirectory


def test_multiply_adds_count_every_convolution() -> None:
    network = build_unet(NetworkConfig(image_size=8, widths=(4,), blocks=1, patch_size=2))
    embedding = 32 * 128 + 128 * 128
    # For each of three blocks: scale and shift of the embedding, and two 3×3 convolutions.
    of_blocks = sum(2 * 128 * 4 + 16 * 9 * (4 * width + 16) for width in (4, 4, 8))
    # At 4×4: from 12 channels of patches to 4, the 1×1 of the block that joins, and back to 12.
    others = 16 * (9 * 12 * 4 + 8 * 4 + 9 * 8 * 12)
    assert multiply_adds(network) == embedding + of_blocks + others


def test_multiply_adds_count_attention_too() -> None:
    plain, attentive = (
        build_unet(NetworkConfig(8, (4,), blocks=1, patch_size=2, attention_heads=heads))
        for heads in (0, 2)
    )
    # Of each of three blocks: 1×1s to 12 channels and from 4, and 16 pixels that look at 16.
    added = 3 * (16 * (4 * 12 + 4 * 4) + 2 * 16 * 16 * 4)
    assert multiply_adds(attentive) == multiply_adds(plain) + added


def test_levels_hold_all_parameters() -> None:
    network = build_unet(NetworkConfig(image_size=16, widths=(8, 16), blocks=1, patch_size=2))
    assert [level.size for level in levels(network)] == ["16×16", "8×8", "4×4", "1×1"]
    assert sum(level.parameters for level in levels(network)) == network.count_params()


def test_describe_writes_nothing(command: Command, tmp_path: Path) -> None:
    flags = (*TINY, "--dropout=0.1", "--describe")
    result = command("diffkiln-train", f"--run_dir={tmp_path / 'r'}", *flags)
    assert result.returncode == 0, result.stderr
    assert "54,972" in result.stdout
    assert "cache     memory, of 72 images in 0 MB" in result.stdout
    assert "clipped to 1; dropout 0.1\n" in result.stdout
    assert f"{tmp_path / 'r'} would begin" in result.stdout
    assert not list(tmp_path.iterdir())


def test_an_existing_run_goes_on_only_with_its_settings(tiny_run: Path) -> None:
    config, _ = RunDirectory(tiny_run).read_config()
    assert "would go on from step-40" in describe(tiny_run, config)
    other = describe(tiny_run, replace(config, seed=9))
    assert re.search(r"would be refused: run_dir=.*\(seed: 0, not 9\)", other)


FLOWERS = {"data": "tfds:oxford_flowers102", "data_dir": "."}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"data": "folder:nowhere"}, "data      would be refused: .*nowhere' does not exist"),
        ({"num_classes": 3}, "data      would be refused: num_classes=3: .* has 10 classes"),
        (FLOWERS, "data      would be refused: .* not prepared under"),
        (
            {"init_from": str(Path(__file__).parents[2] / "models" / "flowers64")},
            "run       would be refused: .* its prediction is image, expected velocity",
        ),
    ],
)
def test_refusals_are_predicted(
    settings: dict[str, Any], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert re.search(expected, describe(tmp_path / "r", preset_config("tiny", **settings)))


def test_a_refusal_has_the_status_of_a_failure(command: Command, tmp_path: Path) -> None:
    flags = (*TINY, "--data=folder:nowhere", "--describe")
    result = command("diffkiln-train", f"--run_dir={tmp_path / 'r'}", *flags)
    assert result.returncode == 1
    assert "data      would be refused: 'nowhere' does not exist" in result.stdout
    (line,) = result.stderr.splitlines()
    assert line.startswith("diffkiln-train: 'nowhere' does not exist")


def test_a_run_that_cannot_go_on_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    config, _ = RunDirectory(tiny_run).read_config()
    few = plan(tiny_run, replace(config, train_steps=3))
    assert [line[:49] for line in few.refusals] == [
        "train_steps=3: the run is at step 40 already; giv"
    ]
    run_dir = shutil.copytree(tiny_run, tmp_path / "r")
    for file in (run_dir / "checkpoints").glob("step-*"):
        file.unlink()
    assert "holds no checkpoint" in plan(run_dir, config).refusals[0]


def test_what_an_export_would_refuse_is_refused(tmp_path: Path) -> None:
    for name in ("x" * 101, "rose"):
        save_pictures(tmp_path / name, 2, size=8)
    config = preset_config("tiny", data=f"folder:{tmp_path}", num_classes=2)
    expected = f"class '{'x' * 101}': expected 1 to 100 printable characters"
    assert expected in plan(tmp_path / "r", config).refusals[0]


def test_data_to_be_downloaded_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = describe(tmp_path / "r", preset_config("tiny", **FLOWERS), download=True)
    assert "cache     depends on how many images there are" in text
    assert "refused" not in text


def test_the_cache_of_a_folder_follows_from_its_list(tmp_path: Path) -> None:
    save_pictures(tmp_path / "photos", 2, size=8)
    (tmp_path / "photos" / "00000.png").write_bytes(b"not read")
    config = preset_config("tiny", data=f"folder:{tmp_path}/photos", image_size=512)
    assert planned_cache(config) == "memory, of 2 images in 2 MB"


@pytest.mark.parametrize(
    ("content", "fault"),
    [(b"text", "none can be read"), (None, "expected pictures that differ from one flat colour")],
)
def test_pictures_that_training_refuses_are_refused(
    tmp_path: Path, content: bytes | None, fault: str
) -> None:
    (tmp_path / "data").mkdir()
    for number in range(3):
        path = tmp_path / "data" / f"{number}.png"
        Image.new("RGB", (16, 16), "red").save(path)
        path.write_bytes(content or path.read_bytes())
    config = preset_config("tiny", data=f"folder:{tmp_path / 'data'}", image_size=16)
    text, refusals = plan(tmp_path / "r", config)
    assert len(refusals) == 1
    assert fault in refusals[0]
    assert f"pixels    would be refused: {refusals[0]}" in text
