"""Files of arrays: what is read, and what is refused before TensorFlow is imported."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from array_files import save_arrays
from train_flags import Refusal

from diffkiln.trainer.data.npz import open_arrays
from diffkiln.trainer.errors import InputError

X = np.arange(40.0).reshape(10, 4)
DTYPES = ["float16", "float32", ">f4", "float64", "int8", "uint16", "int64", "bool"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_numbers_become_float32(tmp_path: Path, dtype: str, save: Any) -> None:
    save(tmp_path / "a.npz", samples=X.astype(dtype))
    samples = open_arrays(tmp_path / "a.npz").read_samples()
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, X.astype(dtype).astype(np.float32))


def test_fortran_order_and_another_name(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(9, 3, 2))
    np.savez(tmp_path / "a.npz", waves=np.asfortranarray(x), labels=np.zeros(9, int))
    file = open_arrays(tmp_path / "a.npz")
    assert (file.name, file.count, file.shape, file.labels) == ("waves", 9, (3, 2), True)
    np.testing.assert_array_equal(file.read_samples(), x.astype(np.float32))


def test_samples_that_fill_several_portions(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(9, 2**20)).astype(np.float32)
    np.savez(tmp_path / "a.npz", samples=x)
    np.testing.assert_array_equal(open_arrays(tmp_path / "a.npz").read_samples(), x)


def test_classes_have_names_or_numbers(tmp_path: Path) -> None:
    labels = np.array([0, 1, -1] * 3)
    named = save_arrays(tmp_path / "a.npz", (9, 2), labels=labels, class_names=["up", "down"])
    assert open_arrays(named).names_of(open_arrays(named).read_labels()) == ("up", "down")
    unnamed = open_arrays(save_arrays(tmp_path / "b.npz", (9, 2), labels=labels))
    assert unnamed.names_of(unnamed.read_labels()) == ("0", "1")


def test_headers_alone_describe_a_file_of_any_size(tmp_path: Path) -> None:
    header = np.lib.format.header_data_from_array_1_0(X)
    with (
        zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as file,
        file.open("samples.npy", "w", force_zip64=True) as member,
    ):
        np.lib.format.write_array_header_1_0(member, {**header, "shape": (2**21, 4)})
        for _ in range(4):
            member.write(bytes(2**24))
    path = tmp_path / "a.npz"
    # What comes after the header may be anything, since nobody looks.
    content = bytearray(path.read_bytes())
    content[2000:3000] = bytes(1000)
    path.write_bytes(content)
    assert open_arrays(path).count == 2**21


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": X, "b": X}, "holds 'a', 'b'; expected an array named 'samples'; save them with nu"),
        ({}, "holds no array; expected an array named 'samples'"),
        ({"samples": X.astype(object)}, "'samples' is object [10, 4]; expected float16, float32"),
        ({"samples": X.astype(complex)}, "is complex128 [10, 4]; expected float16"),
        ({"samples": X.astype(str)}, "expected float16, float32, float64 or whole numbers; conv"),
        ({"samples": X[0]}, "is float64 [4]; expected [N, D], [N, T, C] or [N, H, W, C]; reshap"),
        ({"samples": np.zeros((8, 1, 1, 1, 1))}, "[8, 1, 1, 1, 1]; expected [N, D], [N, T, C]"),
        ({"samples": np.zeros((8, 3, 0))}, "[8, 3, 0]; expected no empty axis"),
        ({"samples": np.zeros((8, 2**24 + 1), np.int8)}, "at most 16,777,216 numbers in a sample"),
        ({"samples": X[:7]}, "[7, 4]; expected at least 8 samples; give more"),
        ({"samples": X, "labels": X[:, 0]}, "'labels' is float64 [10]; expected whole numbers [10"),
        ({"samples": X, "labels": np.arange(9)}, "'labels' is int64 [9]; expected whole numbers"),
        ({"samples": X, "class_names": X}, "'class_names' is float64 [10, 4]; expected 1 to 10,00"),
        ({"samples": X, "class_names": ["a", "a"]}, "'class_names' has 'a' twice; expected other"),
    ],
)
def test_wrong_arrays_are_refused_in_one_line(
    refusal: Refusal,
    tmp_path: Path,
    arrays: dict[str, Any],
    words: str,
) -> None:
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    flags = (f"--run_dir={tmp_path / 'r'}", f"--data=npz:{tmp_path}/a.npz")
    line = refusal(*flags)
    assert f"npz:{tmp_path}/a.npz: " in line
    assert words in line
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist; expected a .npz file; check the path"),
        (b"text", "cannot be read as a .npz file (File is not a zip file); expected one that nu"),
        ("cut", "cannot be read as a .npz file"),
        ("longer", "'samples.npy' holds 328 bytes of numbers; expected 320, for its shape [10, 4"),
        ("version", "'samples.npy' is of version (3, 0) of numpy's format; expected 1.0 or 2.0"),
    ],
)
def test_files_that_are_none_are_refused_in_one_line(
    refusal: Refusal,
    tmp_path: Path,
    content: bytes | str | None,
    words: str,
) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, samples=X)
    spoil(path, content)
    assert words in refusal("--run_dir=r", f"--data=npz:{path}")


def spoil(path: Path, content: bytes | str | None) -> None:
    whole = path.read_bytes()
    if content is None:
        path.unlink()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "cut":
        path.write_bytes(whole[:100])
    else:
        with zipfile.ZipFile(path) as file:
            array = bytearray(file.read("samples.npy"))
        array[6:8] = (3, 0) if content == "version" else (1, 0)
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("samples.npy", bytes(array) + bytes(8 * (content == "longer")))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_the_first_row_that_is_not_finite_is_named(tmp_path: Path, value: float) -> None:
    x = X.copy()
    x[[3, 7], 1] = value
    np.savez(tmp_path / "a.npz", samples=x)
    with pytest.raises(InputError, match=r"row 3 of 'samples' holds NaN, infinity or a number too"):
        open_arrays(tmp_path / "a.npz").read_samples()


def test_damage_is_named_when_it_is_read(tmp_path: Path) -> None:
    path = save_arrays(tmp_path / "a.npz", (64, 8))
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be read as a .npz file \(Bad CRC-32"):
        open_arrays(path).read_samples()


def test_labels_of_no_class_are_refused(tmp_path: Path) -> None:
    labels = np.array([0, 1, 2] * 3)
    path = save_arrays(tmp_path / "a.npz", (9, 2), labels=labels, class_names=["a", "b"])
    with pytest.raises(InputError, match=r"row 2 of 'labels' is 2; expected 0 to 1, or -1 for no"):
        open_arrays(path).read_labels()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--image_size=64"], "--image_size=64: only pictures have it, and data=npz:"),
        (["--augment=none"], "--augment=none: only pictures have it"),
        (["--cache=memory"], "--cache=memory: only pictures have it"),
        (["--task=inpainting"], "--task=inpainting: only pictures have it"),
        (["--levels=0,1"], "--levels=0.0,1.0: only pictures have it"),
        (["--kid_every_steps=5"], "--kid_every_steps=5: only pictures have it"),
        (["--preset=tiny"], "--preset=tiny: is for pictures, and data=npz:"),
        (["--labels=a.csv", "--num_classes=2"], "--labels=a.csv: only folder: data has it"),
        (["--split=train"], "--split=train: only tfds: data has it"),
        (["--eval_split=0%"], "--eval_split=0%: expected a share of the samples such as 10%, or n"),
        (["--eval_split=npz:no"], "npz:no: does not exist; expected a .npz file"),
        (["--num_classes=2"], "--num_classes=2: npz:"),
        (["--describe", "--contact_sheet=a.png"], "--contact_sheet=a.png: only pictures have it"),
    ],
)
def test_flags_that_are_not_for_arrays(
    refusal: Refusal,
    tmp_path: Path,
    flags: list[str],
    words: str,
) -> None:
    path = save_arrays(tmp_path / "a.npz", (9, 2))
    assert words in refusal("--run_dir=r", f"--data=npz:{path}", *flags)


def test_a_preset_of_arrays_needs_arrays(refusal: Refusal) -> None:
    line = refusal("--run_dir=r", "--preset=arrays")
    assert "--preset=arrays: is for data=npz:FILE, and data=synthetic" in line
