"""Which pictures of a folder are trained on, and which are held out."""

from pathlib import Path

import pytest
from pictures import save_empty

from diffkiln.trainer.data.folder import list_folder
from diffkiln.trainer.data.parts import hold_out_share, parts_by_folder
from diffkiln.trainer.errors import InputError

NUMBERED = tuple(f"{number:05}.png" for number in range(1000))


def test_val_is_held_out_of_train_and_classes_are_below_them(tmp_path: Path) -> None:
    listing = list_folder(
        save_empty(tmp_path, "train/cat/a.png", "train/dog/b/c.png", "val/cat/d.png")
    )
    assert listing.names == ("train/cat/a.png", "train/dog/b/c.png")
    assert listing.held_out.names == ("val/cat/d.png",)
    assert listing.class_names == ("cat", "dog")
    assert listing.labels_of(listing).tolist() == [0, 1]
    assert listing.labels_of(listing.held_out).tolist() == [0]
    assert listing.words == " Trained on train; held out val."


@pytest.mark.parametrize(
    ("tops", "trained", "held_out"),
    [
        (("train", "val", "test"), "train", ["val"]),
        (("Training", "Valid"), "Training", ["Valid"]),
        (("train", "validation"), "train", ["validation"]),
        (("train", "test"), "train", ["test"]),
        (("train",), "train", []),
    ],
)
def test_the_names_of_parts(tops: tuple[str, ...], trained: str, held_out: list[str]) -> None:
    parts = parts_by_folder([f"{top}/a.png" for top in tops], hold_out=True)
    assert parts.train == (f"{trained}/a.png",)
    assert [name.split("/")[0] for name in parts.held_out] == held_out


@pytest.mark.parametrize("tops", [("train", "bus"), ("val", "test"), ("trains", "val"), ()])
def test_other_folders_are_not_parts(tops: tuple[str, ...]) -> None:
    names = [*(f"{top}/a.png" for top in tops), "b.png"]
    assert parts_by_folder(names, hold_out=True).train == tuple(names)


def test_pictures_of_no_part_are_counted(tmp_path: Path) -> None:
    save_empty(
        tmp_path, "train/a.png", "val/b.png", "test/c.png", "test/d.png", "e.png", "docs/f.txt"
    )
    words = " Trained on train; held out val. Left out: 2 in test, 1 .txt, 1 in no folder."
    assert list_folder(tmp_path).words == words


def test_the_first_version_trains_on_all_parts(tmp_path: Path) -> None:
    listing = list_folder(save_empty(tmp_path, "train/a.png", "val/b.png"), version=1)
    assert (listing.counts, listing.class_names) == ((2, 0), ("train", "val"))


def test_a_share_is_held_out_by_name_whatever_else_is_there() -> None:
    few, all_of_them = (
        hold_out_share(parts_by_folder(names, hold_out=False), 0.1)
        for names in (NUMBERED[:500], NUMBERED)
    )
    assert set(few.held_out) == set(all_of_them.held_out) & set(NUMBERED[:500])
    assert sorted(all_of_them.train + all_of_them.held_out) == list(NUMBERED)
    # 1000 draws at 0.1: 4 standard deviations are 38.
    assert 62 < len(all_of_them.held_out) < 138


def test_the_first_held_out_pictures_are_of_all_classes() -> None:
    names = [
        f"{part}/{kind}/{name}" for part in ("train", "val") for kind in "ab" for name in NUMBERED
    ]
    first = parts_by_folder(names, hold_out=True).held_out[:256]
    # 256 fair coins: 5 standard deviations are 40.
    assert 88 < sum("/a/" in name for name in first) < 168


def test_a_share_comes_from_the_part_to_train_on(tmp_path: Path) -> None:
    save_empty(tmp_path, *(f"train/{name}" for name in NUMBERED[:50]), "val/a.png")
    listing = list_folder(tmp_path, eval_split="20%")
    assert sum(listing.counts) == 50
    assert all(name.startswith("train/") for name in listing.held_out.names)
    assert listing.words == " Trained on train; held out no folder. Left out: 1 in val."


def test_the_smallest_share_is_one_picture(tmp_path: Path) -> None:
    save_empty(tmp_path, *NUMBERED[:20])
    assert list_folder(tmp_path, eval_split="0.001%").counts == (19, 1)


def test_another_folder_is_held_out(tmp_path: Path) -> None:
    save_empty(tmp_path, "data/a/1.png", "data/b/2.png", "data/more/a/3.png", "other/b/4.png")
    inside = list_folder(tmp_path / "data", eval_split=f"folder:{tmp_path}/data/more")
    assert inside.names == ("a/1.png", "b/2.png")
    assert inside.held_out.names == ("a/3.png",)
    assert inside.words == " Left out: 1 held-out folder."
    outside = list_folder(tmp_path / "data", eval_split=f"folder:{tmp_path}/other")
    assert outside.held_out.folder == tmp_path / "other"
    assert outside.labels_of(outside.held_out).tolist() == [outside.class_names.index("b")]
    assert len({listing.fingerprint for listing in (inside, outside)}) == 2


def test_each_choice_of_parts_has_a_cache_of_its_own(tmp_path: Path) -> None:
    save_empty(tmp_path, *NUMBERED[:20])
    one, other, none = (list_folder(tmp_path, eval_split=each) for each in ("20%", "50%", None))
    assert one.fingerprint == other.fingerprint == none.fingerprint
    assert len({one.identity, other.identity, none.identity}) == 3


@pytest.mark.parametrize(
    ("eval_split", "message"),
    [
        ("99.999%", r"eval_split=99\.999%: holds out all of 2 pictures; give a smaller share"),
        ("folder:{}", "eval_split=folder:.*: is the folder to train on; expected another one"),
        ("folder:{}/gone", "gone' does not exist; expected a folder of pictures"),
    ],
)
def test_refusals(tmp_path: Path, eval_split: str, message: str) -> None:
    save_empty(tmp_path, "a.png", "b.png")
    with pytest.raises(InputError, match=message):
        list_folder(tmp_path, eval_split=eval_split.format(tmp_path))
