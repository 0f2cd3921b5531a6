"""The flags of a command, and the one line that says what is wrong with one.

absl parses them into a FlagValues of their own, so that importing two commands never makes their
flags collide.
"""

import contextlib
import itertools
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from ..errors import UsageError
from ..limits import MAX_COUNT, SEED_END


def bad_flag(name: str, received: object, expected: str) -> UsageError:
    """Make the error for a flag: what was received, then what was expected and what to do."""
    return UsageError(f"--{name}={received}: {expected}")


class Option(NamedTuple):
    """One flag; `default` is text like the user's, and no default makes the value None.

    `parse` makes the value from text or raises ValueError with what was expected; a flag without
    it is a switch.
    """

    name: str
    parse: Callable[[str], Any] | None
    help: str
    default: str | None = None
    required: bool = False

    @property
    def usage(self) -> str:
        """The flag as it is written: --count=…, or --compare for a switch."""
        return f"--{self.name}=…" if self.parse else f"--{self.name}"

    def describe(self, width: int) -> str:
        """Return the flag's line in the text of --help, `width` characters for its usage."""
        note = "required" if self.required else f"default: {self.default}"
        note = f" ({note})" if self.required or self.default is not None else ""
        return f"  {self.usage:<{width}}  {self.help}{note}"


def parse_options(options: Sequence[Option], arguments: Sequence[str]) -> dict[str, Any]:
    """Return the value of each flag by name; UsageError for an unknown, wrong or stray one."""
    values = flags.FlagValues()
    for option in options:
        _define(option, values)
        # absl would take the flag that follows for the value of this one.
        for flag, following in itertools.pairwise([*arguments, "--"]):
            if option.parse and flag == f"--{option.name}" and following.startswith("--"):
                raise UsageError(f"{flag}: no value, expected {flag}=…; see --help")
    try:
        stray = values(["", *arguments])[1:]
    except flags.UnrecognizedFlagError as error:
        names = ", ".join(f"--{option.name}" for option in options)
        # absl's flagvalue is the whole argument, like --cuont=1.
        received = error.flagvalue or f"--{error.flagname}"
        raise UsageError(
            f"{received}: unknown flag, expected one of {names}; see --help"
        ) from error
    except (flags.Error, ValueError) as error:
        raise UsageError(f"{str(error).removeprefix('flag ')}; see --help") from error
    if stray:
        raise UsageError(f"{stray[0]}: expected only flags; write --flag=value, and see --help")
    return {option.name: _value(option, values) for option in options}


def _define(option: Option, values: flags.FlagValues) -> None:
    parser = _Parser(option.parse or _switch)
    flags.DEFINE(parser, option.name, option.default, option.help, flag_values=values)
    # absl then takes --compare and --nocompare for --compare=true and --compare=false.
    values[option.name].boolean = option.parse is None


def _switch(text: str) -> bool:
    return one_of(("true", "false"))(text.lower()) == "true"


class _Parser(flags.ArgumentParser):
    """Lets absl parse with a plain function of text."""

    def __init__(self, function: Callable[[str], Any]) -> None:
        self._function = function

    def parse(self, argument: Any) -> Any:
        return self._function(argument)


def _value(option: Option, values: flags.FlagValues) -> Any:
    value = values[option.name].value
    if option.required and value is None:
        raise UsageError(f"--{option.name}: missing ({option.help}); see --help")
    return value


def whole_number(minimum: int, maximum: int) -> Callable[[str], int]:
    """Make a parser of decimal whole numbers from minimum to maximum."""

    def parse(text: str) -> int:
        # Not int() alone, which also takes "1_6", and refuses very long numbers with other words.
        number = int(text) if re.fullmatch("[+-]?[0-9]{1,20}", text) else None
        if number is None or not minimum <= number <= maximum:
            raise ValueError(f"expected a whole number from {minimum} to {maximum}")
        return number

    return parse


def whole_numbers(minimum: int, maximum: int) -> Callable[[str], tuple[int, ...]]:
    """Make a parser of whole numbers with commas between them."""
    return several(whole_number(minimum, maximum))


def several(parse_one: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """Make a parser of values with commas between them; one that comes again is taken once."""

    def parse(text: str) -> tuple[Any, ...]:
        try:
            return tuple(dict.fromkeys(parse_one(part.strip()) for part in text.split(",")))
        except ValueError as error:
            raise ValueError(f"{error}, or several with commas between them") from error

    return parse


_DECIMAL = r"[+-]?(?=\.?[0-9])[0-9]{0,20}(\.[0-9]{0,20})?"


def number(minimum: float, maximum: float) -> Callable[[str], float]:
    """Make a parser of decimal numbers from minimum to maximum."""

    def parse(text: str) -> float:
        value = float(text) if re.fullmatch(_DECIMAL, text) else None
        if value is None or not minimum <= value <= maximum:
            raise ValueError(f"expected a number from {minimum:g} to {maximum:g}")
        return value

    return parse


def name_list(text: str) -> tuple[str, ...]:
    """Parse names with commas between them."""
    names = tuple(part.strip() for part in text.split(","))
    if not all(names):
        raise ValueError("expected a name or a number, or several with commas between them")
    return names


def seed_list(text: str) -> np.ndarray:
    """Parse "3,7,9-12" as int64 [N], in this order: seeds and ranges of them, each seed once."""
    ranges = [re.fullmatch("([0-9]{1,19})(?:-([0-9]{1,19}))?", part) for part in text.split(",")]
    bounds = [(int(match[1]), int(match[2] or match[1])) for match in ranges if match]
    count = sum(end - start + 1 for start, end in bounds)
    if None in ranges or any(end < start or end >= SEED_END for start, end in bounds):
        raise ValueError(f"expected seeds like 3,7,9-12, each from 0 to {SEED_END - 1}")
    if count > MAX_COUNT:
        raise ValueError(f"has {count} seeds, expected at most {MAX_COUNT}")
    seeds = np.array([seed for start, end in bounds for seed in range(start, end + 1)], np.int64)
    if len(np.unique(seeds)) < count:
        raise ValueError("holds a seed twice, expected each once")
    return seeds


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """Make a parser that takes exactly these words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return text

    return parse


def file_path(text: str) -> Path:
    """Parse a path: anything but nothing."""
    if not text or "\0" in text:
        raise ValueError("expected a path")
    return Path(text)


def file_paths(text: str) -> tuple[Path, ...]:
    """Parse paths with commas between them; what exists as a whole is one path."""
    with contextlib.suppress(ValueError, OSError):  # of texts that cannot be the name of a file
        if Path(text).exists():
            return (file_path(text),)
    return several(file_path)(text)


def require_writable(
    name: str, target: Path, *, folder: bool = False, shared: bool = False
) -> None:
    """UsageError unless a file, which may be replaced, or a folder can be written there.

    The folder has to be new or empty, unless it is `shared`.
    """
    real = Path(os.path.realpath(target))
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            real.lstat()  # later Pythons' exists() and is_dir() hide every OSError
        if not real.parent.is_dir():
            expected = f"expected a path in an existing folder; create {real.parent} first"
        elif folder and real.exists() and not real.is_dir():
            expected = "is a file, expected a folder or a new path; choose another path"
        elif folder and not shared and real.exists() and any(real.iterdir()):
            expected = "exists, expected a new or empty folder; choose another path"
        elif not folder and real.exists() and not real.is_file():
            expected = "is a folder or a device, expected a file; choose another path"
        elif not os.access(place := real if shared and real.exists() else real.parent, os.W_OK):
            expected = f"{place} cannot be written to; choose another path"
        else:
            return
    except OSError as error:
        expected = f"{error.strerror}, expected a path that can be written; choose another"
    raise bad_flag(name, target, expected)
