"""The flags of a command, and the one line that says what is wrong with one.

absl parses them into a FlagValues of their own, so the flags of two commands never collide.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from ..errors import DiffkilnError, UsageError
from ..paths import local_path


def bad_flag(name: str, received: object, expected: str) -> UsageError:
    """Make the error for a flag: what was received, then what was expected and what to do."""
    return UsageError(f"--{name}={received}: {expected}")


@contextlib.contextmanager
def flag_errors() -> Iterator[None]:
    """Turn the Sampler's ValueError for an argument into a UsageError for its flag."""
    try:
        yield
    except DiffkilnError:
        raise
    except ValueError as error:
        flag = re.sub("^(label|condition)s", r"\1", str(error))
        raise UsageError(f"--{flag}") from error


class Option(NamedTuple):
    """One flag; `default` is text as a user writes it, and None without one.

    `parse` makes the value from text or raises ValueError with what was expected; a flag without
    it is a switch. A `repeated` flag may be given several times; its value is a list.
    """

    name: str
    parse: Callable[[str], Any] | None
    help: str
    default: str | None = None
    required: bool = False
    repeated: bool = False

    @property
    def usage(self) -> str:
        """The flag as it is written: --count=…, or --compare for a switch."""
        return f"--{self.name}=…" if self.parse else f"--{self.name}"

    def describe(self, width: int) -> str:
        """Return the flag's line in the text of --help, `width` characters for its usage."""
        note = " (required)" if self.required else self.default and f" (default: {self.default})"
        return f"  {self.usage:<{width}}  {self.help}{note or ''}"


def parse_options(options: Sequence[Option], arguments: Sequence[str]) -> dict[str, Any]:
    """Return the value of each flag by name; UsageError for an unknown, wrong or stray one."""
    values = flags.FlagValues()
    for option in options:
        parser, default = _Parser(option.parse or _switch), option.default
        default = default if option.parse else "false"
        about = (option.name, default, option.help)
        if option.repeated:
            flags.DEFINE_multi(parser, flags.ArgumentSerializer(), *about, flag_values=values)
        else:
            flags.DEFINE(parser, *about, flag_values=values)
        # absl then reads --compare and --nocompare as --compare=true and --compare=false.
        values[option.name].boolean = option.parse is None
    try:
        stray = values(["", *arguments])[1:]
    except (flags.Error, ValueError) as error:
        text = str(error).removeprefix("flag ").removesuffix(" ?")
        raise UsageError(f"{text}; see --help") from error
    if stray:
        raise UsageError(f"{stray[0]}: expected only flags; write --flag=value, and see --help")
    for option in options:
        if option.required and values[option.name].value is None:
            raise UsageError(f"--{option.name}: missing ({option.help}); see --help")
    return {option.name: values[option.name].value for option in options}


class _Parser(flags.ArgumentParser):
    """Lets absl parse with a plain function of text."""

    def __init__(self, function: Callable[[str], Any]) -> None:
        self._function = function

    def parse(self, argument: Any) -> Any:
        return self._function(argument)


def _expecting(expected: str, parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Make a parser from one of absl's; its errors say what was `expected`."""

    def parse_or_say(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise ValueError(f"expected {expected}") from error

    return parse_or_say


_switch = _expecting("true or false", flags.BooleanParser().parse)
integer = _expecting("a whole number", flags.IntegerParser().parse)
number = _expecting("a number", flags.FloatParser().parse)


def whole_number(minimum: int, maximum: int) -> Callable[[str], int]:
    """Make a parser of whole numbers from minimum to maximum."""
    parser = flags.IntegerParser(minimum, maximum)
    return _expecting(f"a whole number from {minimum} to {maximum}", parser.parse)


def whole_numbers(minimum: int, maximum: int) -> Callable[[str], tuple[int, ...]]:
    """Make a parser of whole numbers with commas between them."""
    return several(whole_number(minimum, maximum))


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """Make a parser that takes exactly these words."""
    return _expecting(f"one of {', '.join(choices)}", flags.EnumParser(choices).parse)


def several(parse_one: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """Make a parser of values with commas between them; a repeated value counts once."""

    def parse(text: str) -> tuple[Any, ...]:
        try:
            return tuple(dict.fromkeys(parse_one(part.strip()) for part in text.split(",")))
        except ValueError as error:
            raise ValueError(f"{error}, or several with commas between them") from error

    return parse


def name_list(text: str) -> tuple[str, ...]:
    """Parse names with commas between them."""
    names = tuple(part.strip() for part in text.split(","))
    if not all(names):
        raise ValueError("expected a name or a number, or several with commas between them")
    return names


def file_path(text: str) -> Path:
    """Parse a path; text that looks like the next flag is refused."""
    if not text or "\0" in text:
        raise ValueError("expected a path")
    if text.startswith("--"):
        raise ValueError("expected a path, not a flag; write a name like --a as ./--a")
    if text == "-":
        raise ValueError("expected a path; write ./- for something of this name")
    return local_path(text)


def file_paths(text: str) -> tuple[Path, ...]:
    """Parse paths with commas between them; if the whole text is the path of a file, it is one."""
    with contextlib.suppress(ValueError, OSError):  # for texts that no file can have as its name
        if local_path(text).exists():
            return (file_path(text),)
    return several(file_path)(text)


def require_writable(name: str, target: Path, *, folder: bool = False) -> None:
    """UsageError unless a file can be written or replaced there, or a folder made or filled."""
    try:
        problem = _problem(target, folder)
    except OSError as error:
        problem = f"{error.strerror}, expected a path that can be written; choose another"
    if problem:
        raise bad_flag(name, target, problem)


def _problem(target: Path, folder: bool) -> str | None:
    real = Path(os.path.realpath(target))
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        real.lstat()  # later Pythons' exists() and is_dir() hide every OSError
    if not real.parent.is_dir():
        return f"expected a path in an existing folder; create {real.parent} first"
    # Not real.exists(): the pipe behind /dev/stdout has no path that exists.
    if folder and target.exists() and not target.is_dir():
        return "is a file or a device, expected a folder or a new path; choose another path"
    if not folder and target.exists() and not target.is_file():
        return "is a folder or a device, expected a file; choose another path"
    place = real if folder and real.exists() else real.parent
    if not os.access(place, os.R_OK | os.W_OK | os.X_OK if place == real else os.W_OK):
        return f"{place} cannot be written to; choose another path"
    return None
