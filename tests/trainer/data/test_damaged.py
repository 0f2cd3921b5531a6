"""A damaged picture is read or refused by name, whatever its decoder makes of it."""

import warnings
from pathlib import Path

import pytest
from damaged_pictures import damaged, whole_pictures

from diffkiln.trainer.data.pictures import quiet_decoders, read_image
from diffkiln.trainer.errors import InputError


@pytest.mark.parametrize("seed", range(4))
def test_damaged_pictures_are_read_or_refused(
    tmp_path: Path, seed: int, capfd: pytest.CaptureFixture[str]
) -> None:
    path, read, refused = tmp_path / "a", 0, []
    quiet_decoders()
    for _, contents in damaged(1000, seed):
        path.write_bytes(contents)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read += read_image(path, 8).shape == (8, 8, 3)
            except InputError as error:
                refused.append(str(error))
    assert read + len(refused) == 1000
    assert min(read, len(refused)) > 100
    assert all(line.startswith(f"{str(path)!r} ") for line in refused)
    assert not [line for line in refused if "\n" in line]
    assert capfd.readouterr().err == ""


def test_the_same_pictures_are_read_undamaged(tmp_path: Path) -> None:
    for kind, contents in whole_pictures().items():
        (tmp_path / kind).write_bytes(contents)
        assert read_image(tmp_path / kind, 8).shape == (8, 8, 3)
