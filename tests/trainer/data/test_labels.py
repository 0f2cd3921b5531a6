"""The classes of a folder's pictures from a file beside them, or from their names."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import save_empty, save_pictures
from train_flags import Refusal
from training_runs import small_config, train_here

from diffkiln.trainer.data.folder import list_folder
from diffkiln.trainer.data.listing import Listing
from diffkiln.trainer.data.load import load_images
from diffkiln.trainer.errors import InputError

NAMES = ("a.png", "b.png", "deep/c.png", "deep/d.png")


def listed(
    folder: Path, text: str | bytes, *, names: tuple[str, ...] = NAMES, **settings: Any
) -> Listing:
    """A folder of these pictures, whose labels are a file of this text inside it."""
    save_empty(folder, *names)
    content = text.encode() if isinstance(text, str) else text
    (folder / "labels.csv").write_bytes(content)
    return list_folder(folder, labels=f"{folder}/labels.csv", **settings)


@pytest.mark.parametrize(
    "text",
    [
        "file_name,label\na.png,cat\nb.png,dog\ndeep/c.png,cat\n",
        "\ufeffID;Split;Species\r\na;x;cat\r\n\r\n./b.png;x;dog\r\nc;x;cat\r\n",
        "\tImage Path\tclass\n0\tdeep\\c.png\tcat\n1\ta.png\t cat \n2\tb.png\tdog\n",
        'one,two\n"a.png","cat"\n"b.png","dog"\n"c.png","cat"\nd.png,\n',
        'class,photo\ncat,a.png\ncat,c.png\ncat,a.png\ndog,b.png\n',
        """{"file_name": "a.png", "label": "cat"}

        {"file_name": "b.png", "label": "dog"}
        {"file_name": "deep/c.png", "label": "cat", "text": [1]}
        {"file_name": "d.png"}""",
    ],
)  # fmt: skip
def test_files_that_say_the_same(tmp_path: Path, text: str) -> None:
    listing = listed(tmp_path, text)
    assert listing.names == NAMES
    assert listing.class_names == ("cat", "dog")
    assert listing.labels_of(listing).tolist() == [0, 1, 0, -1]
    assert listing.words == " Left out: 1 .csv. Labels: 3 of 4 pictures, from labels.csv."


def test_rows_that_name_no_picture_are_counted(tmp_path: Path) -> None:
    listing = listed(tmp_path, "image,label\na.png,cat\ngone.png,cow\n,dog\nother/b.png,dog\n")
    words = "Labels: 1 of 4 pictures, from labels.csv; 3 of its rows name none."
    assert listing.words.endswith(words)
    assert listing.class_names == ("cat",)


def test_a_path_from_above_the_folder_or_a_part_of_it_names_a_picture(tmp_path: Path) -> None:
    names = ("x/a.png", "y/a.png", "y/z/b.png", "c.png", "x/c.png")
    rows = f"data/x/a.png,1\n{tmp_path}/data/y/a.png,2\nz/b.png,3\nc.png,4\n../data/x/c.png,5\n"
    listing = listed(tmp_path / "data", f"path,label\n{rows}", names=names)
    assert dict(zip(listing.names, listing.classes, strict=True)) == {
        "x/a.png": "1", "y/a.png": "2", "y/z/b.png": "3", "c.png": "4", "x/c.png": "5"
    }  # fmt: skip


def test_numbers_are_sorted_by_number_and_names_by_name(tmp_path: Path) -> None:
    names = tuple(f"{number}.png" for number in range(6))
    classes = ("10", "9", "rose", "-1", "2.5", "Aster")
    rows = "".join(f"{name},{each}\n" for name, each in zip(names, classes, strict=True))
    listing = listed(tmp_path, f"file,class\n{rows}", names=names)
    assert listing.class_names == ("-1", "2.5", "9", "10", "Aster", "rose")


def test_numbers_of_json_are_those_of_csv(tmp_path: Path) -> None:
    assert listed(tmp_path, '{"image": "a", "label": 12}').class_names == ("12",)


def test_names_of_pictures_are_labels(tmp_path: Path) -> None:
    save_empty(tmp_path, "train/cat_1.png", "train/dog_2.png", "val/dog_3.png", "train/4.png")
    listing = list_folder(tmp_path, labels=r"name:^([a-z]+)_\d")
    assert listing.class_names == ("cat", "dog")
    assert listing.labels_of(listing).tolist() == [-1, 0, 1]
    assert listing.labels_of(listing.held_out).tolist() == [1]
    assert listing.words.endswith("Labels: 3 of 4 pictures, from their names.")


def test_a_share_and_another_folder_are_held_out_with_their_labels(tmp_path: Path) -> None:
    save_empty(tmp_path, "other/e.png")
    text = "file_name,label\na.png,cat\nb.png,dog\nc.png,cow\nd.png,ant\ne.png,dog\n"
    share = listed(tmp_path / "data", text, eval_split="50%")
    of_each = dict(zip(share.names, share.classes, strict=True))
    of_each |= dict(zip(share.held_out.names, share.held_out.classes, strict=True))
    assert of_each == dict(zip(NAMES, ("cat", "dog", "cow", "ant"), strict=True))
    assert min(share.counts) > 0
    other = listed(tmp_path / "data", text, eval_split=f"folder:{tmp_path}/other")
    assert (other.classes, other.held_out.classes) == (["cat", "dog", "cow", "ant"], ["dog"])


def test_labels_are_part_of_the_datas_identity(tmp_path: Path) -> None:
    text = "file_name,label\na.png,cat\nb.png,dog\nc.png,cat\n"
    before = listed(tmp_path, text)
    other_text = listed(tmp_path, text.replace("c.png", "deep/c.png"))
    assert other_text.fingerprint == before.fingerprint
    changed = listed(tmp_path, text.replace("c.png,cat", "c.png,dog"))
    without = list_folder(tmp_path)
    assert len({each.fingerprint for each in (before, changed, without)}) == 3
    assert len({each.identity for each in (before, changed, without)}) == 3
    assert changed.fingerprint.startswith("files-")


@pytest.mark.slow
def test_a_run_goes_on_with_the_same_labels_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_pictures(tmp_path / "data", 9, size=20)
    (tmp_path / "data" / "broken.png").write_bytes(b"broken")
    rows = [f"{number:05},{'cat' if number % 2 else 'dog'}\n" for number in range(8)]
    file = tmp_path / "data" / "metadata.csv"
    file.write_text("id,label\n" + "".join(rows) + "broken,dog\n")
    settings = {"data": f"folder:{tmp_path}/data", "num_classes": 2, "augment": "none"}
    train_here(tmp_path / "r", labels=str(file), train_steps=1, **settings)
    words = "Labels: 9 of 10 pictures, from metadata.csv. Classes: cat, dog."
    assert words in capsys.readouterr().out
    moved = file.rename(tmp_path / "moved.csv")
    train_here(tmp_path / "r", labels=str(moved), train_steps=2, **settings)
    images = load_images(small_config(labels=str(moved), **settings)).train
    # A picture of the same class takes the place of a broken one.
    assert images.labels.tolist() == [1, 0, 1, 0, 1, 0, 1, 0, -1, 1]
    first, broken = images.take(np.array([0, 9]))
    assert (first == broken).all()
    moved.write_text(moved.read_text().replace("00003,cat", "00003,dog"))
    with pytest.raises(InputError, match=r"was trained on other data .*give --allow_data_change"):
        train_here(tmp_path / "r", labels=str(moved), train_steps=3, **settings)
    train_here(tmp_path / "r", labels=str(moved), train_steps=3, allow_data_change=True, **settings)
    with pytest.raises(InputError, match=r"other settings \(labels: .*moved.csv, not name:\^"):
        train_here(tmp_path / "r", labels="name:^(.)", train_steps=4, **settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its columns are none; expected exactly one of the pictures, named file_name or"),
        ("file_name\na.png\n", "its columns are 'file_name'; expected exactly one of the classes"),
        ("a,b,label\n", "its columns are 'a', 'b', 'label'; expected exactly one of the pictures"),
        ("image,label,class\n", "'image', 'label', 'class'; expected exactly one of .*; rename"),
        ("a.png,cat\nb.png,dog\n", "its first line names a picture, 'a.png'; add a header, such"),
        ("image,label\n", r"none of its 0 rows names a picture; expected file names, or paths in"),
        ("image,label\nx.png,cat\n", r"none of its 1 rows names a picture \(the first: 'x\.png'\)"),
        ("image,label\na.png,cat\na,dog\n", "line 3: 'a' is of class 'dog', but of 'cat' in line"),
        ("image,label\na.png,red, cat\n", "line 2 has 3 columns, expected 2 as in the header; put"),
        ('image,label\na.png,"cat\nb.png,dog\n', "line 3 is no CSV .*; check its quotes"),
        (f"[{'x' * 2**18}]", r"is no CSV \(field larger than field limit"),
        (b"image,label\na.png,\xe9\n", "is not text in UTF-8; save it as CSV in UTF-8"),
        ("image,label\na.png,cat\n".encode("utf-16"), "is not text in UTF-8"),
        ('{"image": "a.png", "label": 1}\n[2]\n', "line 2 is no JSON object; expected one on each"),
        ('{\n"image": "a.png"}\n', "line 1 is no JSON object"),
        ('{"image": "a.png", "label": "\\ud83d"}\n', "line 1 has .*, expected text or a number"),
        ('{"image": "a.png", "label": [1, 2]}\n', r"line 1 has \[1, 2\], expected text or a num"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=rf"^labels=.*labels\.csv: .*{message}") as caught:
        listed(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_row_that_may_mean_two_pictures(tmp_path: Path) -> None:
    message = r"line 2: 'a.png' may be '.*/x/a\.png' or '.*/y/a\.png'; give the path of one"
    with pytest.raises(InputError, match=message):
        listed(tmp_path, "image,label\na.png,cat\n", names=("x/a.png", "y/a.png"))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    save_empty(tmp_path, "a.png")
    for name in ("gone.csv", ""):
        with pytest.raises(InputError, match=r"^labels=.*: .*; expected a CSV or JSON Lines file"):
            list_folder(tmp_path, labels=f"{tmp_path}/{name}")
    with pytest.raises(InputError, match=r"^labels=name:\(x\): fits no picture's .*'a\.png'\); ch"):
        list_folder(tmp_path, labels="name:(x)")


def test_a_url_is_refused(refusal: Refusal) -> None:
    flags = ("--run_dir=r", "--data=folder:x", "--labels=gs://x", "--num_classes=2")
    assert "labels=gs://x: is a URL, expected a" in refusal(*flags)


def test_classes_that_are_not_those_of_the_labels(tmp_path: Path) -> None:
    for text, message in (
        ("file,label\na.png,\n", r"has no classes; expected .*, listed in labels=.*labels\.csv"),
        (
            "file,label\na.png,cat\n",
            r"num_classes=2: data=folder:.* has 1 classes \(cat\); give num_classes=1$",
        ),
        (f"file,label\na.png,{'x' * 101}\n", r"class 'x+': expected 1 to 100 .*; correct labels="),
    ):
        listed(tmp_path, text)
        settings = {"data": f"folder:{tmp_path}", "labels": f"{tmp_path}/labels.csv"}
        with pytest.raises(InputError, match=message):
            load_images(small_config(num_classes=2, **settings))
