"""Trains on a small disk that is filled again and again, and prints how each attempt ended.

`python full_disk_child.py DISK REFERENCE KB...`: of the disk, so many KB are free at each attempt.
"""

import os
import sys
from pathlib import Path

from training_runs import SAVED, STEPS, same_weights, train_here


def fill(disk: Path, room_kb: int) -> None:
    """Leave so much of the disk free."""
    status = os.statvfs(disk)
    (disk / "others").write_bytes(bytes(status.f_bavail * status.f_frsize - room_kb * 1024))


def unfinished(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.startswith(".")] + [
        path.name for path in folder.rglob("*_temp")
    ]


def main() -> None:
    disk, reference, *rooms_kb = sys.argv[1:]
    run_dir, settings = Path(disk, "r"), {**SAVED, "train_steps": STEPS, "preview_every_steps": 5}
    for room_kb in map(int, rooms_kb):
        fill(Path(disk), room_kb)
        try:
            train_here(run_dir, **settings)
        except (OSError, ValueError) as error:
            print("FULL", room_kb, "unfinished:", unfinished(run_dir), "|", error)
        Path(disk, "others").unlink()
    train_here(run_dir, **settings)
    for name in ("ema.weights.h5", "best.weights.h5"):
        same_weights(run_dir, Path(reference), name)
    assert (run_dir / "best.json").read_text() == Path(reference, "best.json").read_text()
    print("SAME")


if __name__ == "__main__":
    main()
