"""The pictures in a folder and below it, and what is left out there."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .reading import Reading

RUN = "run directories"
# The marks of a run directory: its previews are no pictures to train on.
_RUN_FILE, _RUN_FOLDERS = "config.json", {"checkpoints", "samples"}


@dataclass
class Tree:
    """What a folder holds: `names` of pictures, as sorted relative POSIX paths.

    `left_out` counts files and folders by reason, and `errors` are of folders that cannot be
    listed.
    """

    names: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    errors: list[OSError] = field(default_factory=list)


def read_tree(folder: Path, rules: Reading, without: Mapping[Path, str]) -> Tree:
    """List what is below a folder, at any depth, except folders in `without`, which says why not.

    Links to folders are followed, each folder once.
    """
    tree = Tree()
    tree.names = sorted(_pictures(folder, rules, without, tree))
    return tree


def _pictures(
    folder: Path, rules: Reading, without: Mapping[Path, str], tree: Tree
) -> Iterator[str]:
    left_out = {_place(path): fault for path, fault in without.items() if path.is_dir()}
    seen: set[tuple[int, int]] = set()
    for parent, folders, names in os.walk(folder, onerror=tree.errors.append, followlinks=True):
        place, is_top = _place(Path(parent)), Path(parent) == folder
        is_run = not is_top and _RUN_FILE in names and _RUN_FOLDERS.issubset(folders)
        if place in left_out or (is_run and rules.version > 1):
            tree.left_out[left_out.get(place, RUN)] += 1
            folders.clear()
            continue
        # A link may lead back to a folder above it.
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(_visited(folders, rules, tree))
        # Joined as text: a Path for each of a million files would take longer than listing them.
        prefix = (Path(parent).relative_to(folder).as_posix() + "/").removeprefix("./")
        for name in names:
            if fault := rules.fault(parent, name):
                tree.left_out[fault] += 1
            else:
                yield prefix + name


def _visited(folders: Sequence[str], rules: Reading, tree: Tree) -> Iterator[str]:
    for name in folders:
        if fault := rules.fault_of_folder(name):
            tree.left_out[fault] += 1
        else:
            yield name


def _place(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
