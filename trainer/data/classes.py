"""Whether data has the classes that a run expects."""

from collections.abc import Sequence

from ..config import MOST_NAME_CHARACTERS, TrainConfig, is_class_name
from ..errors import InputError
from .listing import Listing


def check_classes(config: TrainConfig, names: Sequence[str]) -> None:
    """Raise InputError unless the classes of the data are those of `config.num_classes`, if any."""
    if config.num_classes is None:
        return
    of_folder = config.data.startswith("folder:")
    for name in names:
        if not is_class_name(name):
            expected = f"expected 1 to {MOST_NAME_CHARACTERS} printable characters"
            remedy = "rename its folder" if of_folder else "leave num_classes out"
            remedy = f"correct labels={config.labels}" if config.labels else remedy
            raise InputError(f"class {name!r}: {expected}, as an export needs; {remedy}")
    if config.num_classes == len(names):
        return
    received = f"num_classes={config.num_classes}: data={config.data} has"
    if not names:
        remedy = "each in a folder of its own" if of_folder else "or leave it out"
        remedy = f"listed in labels={config.labels}" if config.labels else remedy
        kind = f"{config.samples} of classes"
        raise InputError(f"{received} no classes; expected {kind}, {remedy}")
    listed = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    optional = "" if config.labels or config.label_feature else ", or leave it out"
    remedy = f"give num_classes={len(names)}{optional}"
    raise InputError(f"{received} {len(names)} classes ({listed}); {remedy}")


def check_pictures(listing: Listing) -> None:
    """Raise InputError for a class without a picture to train on."""
    present = set(listing.classes)
    if lacking := [name for name in listing.class_names if name not in present]:
        problem = f"no picture of class {lacking[0]!r} to train on"
        raise InputError(f"{problem}; expected at least one that is not held out; add some")
