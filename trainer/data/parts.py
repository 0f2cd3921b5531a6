"""Which pictures of a folder are trained on, and which are held out."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

# The names of folders that are parts of the data, in lower case.
_TRAIN, _VALIDATION, _TEST = ("train", "training"), ("val", "valid", "validation"), ("test",)


@dataclass(frozen=True)
class Parts:
    """The names of pictures to train on, and of those to hold out.

    Held-out pictures come in an order that mixes their classes, whose folders lie `level` folders
    below the top. `left_out` counts the pictures in neither part by the reason, and `words` name
    the folders that are parts.
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...] = ()
    level: int = 0
    words: str = ""
    left_out: Counter[str] = field(default_factory=Counter)


def parts_by_folder(names: Sequence[str], *, hold_out: bool) -> Parts:
    """Train on the folder train, and `hold_out` val, or else test, if they are parts of the data.

    They are if every folder at the top that holds pictures has the name of a part, in any case, and
    one of them is train. Otherwise everything is trained on.
    """
    tops = sorted({_top(name) for name in names} - {""})
    train, validation, test = (
        [top for top in tops if top.lower() in part] for part in (_TRAIN, _VALIDATION, _TEST)
    )
    if not train or len(tops) > len(train + validation + test):
        return Parts(tuple(names))
    held_out = (validation or test) if hold_out else []
    used = {*train, *held_out}
    rest = Counter(top for top in map(_top, names) if top not in used)
    return Parts(
        train=_inside(names, train),
        held_out=mixed(_inside(names, held_out)),
        level=1,
        words=f" Trained on {', '.join(train)}; held out {', '.join(held_out) or 'no folder'}.",
        left_out=Counter({f"in {top}" if top else "in no folder": n for top, n in rest.items()}),
    )


def hold_out_share(parts: Parts, share: float) -> Parts:
    """Hold out about this share of the pictures to train on, and at least one of them.

    Whether a picture is held out follows from its name alone, so others may come or go.
    """
    numbers = {name: _number(name) for name in parts.train}
    limit = max(share, min(numbers.values()))
    held_out = mixed(name for name, number in numbers.items() if number <= limit)
    train = tuple(name for name in parts.train if numbers[name] > limit)
    return replace(parts, train=train, held_out=held_out)


def mixed(names: Iterable[str]) -> tuple[str, ...]:
    """Names in an order that follows from each of them alone and mixes their folders."""
    return tuple(sorted(names, key=_number))


def _inside(names: Iterable[str], tops: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if _top(name) in tops)


def _top(name: str) -> str:
    """The folder at the top that holds a name, "" for none."""
    top, slash, _ = name.partition("/")
    return top if slash else ""


def _number(name: str) -> float:
    """A number in [0, 1), the same for a name wherever it is."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8]) / 2**64
