"""A bundle works wherever it lies: behind links, in a .zip, under a relative path."""

import hashlib
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from diffkiln.runtime import BundleError, Sampler, open_bundle


def draw(bundle: Path | str) -> np.ndarray:
    return Sampler(bundle, device="cpu").sample(1, steps=2)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets few users make links")
def test_a_cache_of_links_to_blobs(tiny_bundle: Path, tmp_path: Path) -> None:
    """As huggingface_hub keeps a repository."""
    (blobs := tmp_path / "blobs").mkdir()
    (snapshot := tmp_path / "snapshots" / "0a1b2c").mkdir(parents=True)
    for file in tiny_bundle.iterdir():
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copy(file, blobs / digest)
        (snapshot / file.name).symlink_to(Path("../../blobs", digest))
    assert np.array_equal(draw(snapshot), draw(tiny_bundle))


def test_a_relative_path_outlives_a_change_of_folder(
    bundle_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bundle_copy.parent)
    sampler = Sampler(bundle_copy.name, device="cpu")
    monkeypatch.chdir("/")
    assert sampler.sample(1, steps=1).shape == (1, 16, 16, 3)


@pytest.mark.parametrize("folder", ["", "flowers.bundle/"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip(tiny_bundle: Path, tmp_path: Path, folder: str, compression: int) -> None:
    """Nothing is unpacked, so a name that leads elsewhere leads nowhere."""
    file = tmp_path / "flowers.zip"
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("__MACOSX/flowers.bundle/._bundle.json", b"")
        archive.writestr("../evil", b"")
        for path in tiny_bundle.iterdir():
            archive.write(path, folder + path.name)
    assert np.array_equal(draw(file), draw(tiny_bundle))
    assert [*tmp_path.iterdir()] == [file]


def test_a_damaged_zip_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tiny_bundle)).read_bytes()
    expected = draw(tiny_bundle)
    (file := tmp_path / "spoiled.zip").touch()
    end = len(packed)
    for at in (*range(0, end, end // 16), *range(end - 400, end, 23)):
        spoiled = bytearray(packed)
        spoiled[at] ^= 0xFF
        file.write_bytes(spoiled)
        try:
            open_bundle(file).graph("sampler").content()
        except BundleError:
            continue
        assert np.array_equal(draw(file), expected)
