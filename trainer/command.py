"""The common part of the training and export commands: flags, exit statuses, one-line errors."""

import contextlib
import difflib
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import BinaryIO, TypeVar

from absl import flags

from .console import prepare_streams
from .errors import InputError, Stopped

Settings = TypeVar("Settings")

USAGE_STATUS, FAILURE_STATUS, INTERRUPTED_STATUS = 2, 1, 130


def run_command(
    program: str,
    usage: str,
    flag_values: flags.FlagValues,
    check: Callable[[], Settings],
    run: Callable[[Settings], None],
) -> int:
    """Parse the process's flags, `check` them into settings, `run`; returns the exit status.

    Bad flags end with status 2 and other expected failures with 1, each with one line on stderr. An
    unexpected exception is a defect and keeps its traceback.
    """
    prepare_streams()
    if {"--help", "-help", "-h"} & set(sys.argv[1:]):
        print(f"{usage}\n{_flags_help(flag_values)}")
        return 0
    if "--version" in sys.argv[1:]:
        print(f"{program} {metadata.version('diffkiln')}")
        return 0
    # diffkiln's own warnings only.
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"{program}: %(message)s"))
    logging.getLogger("diffkiln").addHandler(handler)
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        _refuse_stray(flag_values(sys.argv)[1:])
        settings = check()
    except (flags.Error, InputError) as error:
        return _fail(program, _as_flag(error, flag_values), USAGE_STATUS)
    try:
        run(settings)
    except (InputError, OSError, MemoryError) as error:
        return _fail(program, error, FAILURE_STATUS)
    except ModuleNotFoundError as error:
        package, _, _ = (error.name or "").partition(".")
        text = f"needs {error.name}, which is not installed: run pip install {package}"
        return _fail(program, text, FAILURE_STATUS)
    except Stopped as stopped:
        return _fail(program, stopped, stopped.status)
    except KeyboardInterrupt:
        return _fail(program, "interrupted", INTERRUPTED_STATUS)
    return 0


def _refuse_stray(arguments: list[str]) -> None:
    if arguments:
        raise InputError(f"{arguments[0]}: expected only flags, written --flag=value; see --help")


def _flags_help(flag_values: flags.FlagValues) -> str:
    lines = []
    for name in flag_values:
        flag = flag_values[name]
        choices = "|".join(getattr(flag.parser, "enum_values", None) or [])
        text = (flag.help or "").removeprefix(f"<{choices}>: ")
        if flag.boolean:
            lines.append(f"  --{name}, --no{name}" if flag.default is not False else f"  --{name}")
        else:
            lines.append(f"  --{name}={choices or '…'}")
        if flag.default is not None and flag.default is not False:
            text += f" (default: {'yes' if flag.boolean else flag.default_as_str})"
        lines.append(f"      {text}")
    return "\n".join(lines)


def require_flag(flag_values: flags.FlagValues, name: str) -> str:
    """The flag's value; InputError for a missing one."""
    value = flag_values[name].value
    if not value:
        raise InputError(f"--{name}: missing ({flag_values[name].help}); see --help")
    return value


@contextlib.contextmanager
def quiet_native_import() -> Iterator[None]:
    """Hold back native libraries' output to stderr while they load, unless loading fails.

    TensorFlow prints several lines before its log level can be set, but a command promises one line
    for an error. Only for commands: a library must leave stderr to its host.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    # Whatever ~/.keras/keras.json says, which is for other programs.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    sys.stderr.flush()
    stderr = os.dup(2)
    with _scratch_file() as output:
        os.dup2(output.fileno(), 2)
        try:
            yield
            _reset_keras()
        except BaseException:
            output.seek(0)
            os.write(stderr, output.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)


def _scratch_file() -> BinaryIO:
    try:
        return tempfile.TemporaryFile()
    except OSError:  # its disk is full, which is no reason to do nothing
        return open(os.devnull, "w+b")  # noqa: PTH123


def _reset_keras() -> None:
    import keras

    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)


def _as_flag(error: Exception, flag_values: flags.FlagValues) -> str:
    """Rewrite a setting's error as a flag's error."""
    if isinstance(error, flags.UnrecognizedFlagError):
        near = difflib.get_close_matches(error.flagname, list(flag_values))
        remedy = f"did you mean --{near[0]}?" if near else "see --help"
        return f"--{error.flagname}: no such flag; {remedy}"
    text = re.sub("invalid literal for int.*", "expected a whole number", str(error))
    text = re.sub("could not convert string to float.*", "expected a number", text)
    text = text.removeprefix("flag ")
    return text if text.startswith("-") or "=" not in text.split(":")[0] else f"--{text}"


def _fail(program: str, error: object, status: int) -> int:
    text = " ".join(str(error).split()) or type(error).__name__
    print(f"{program}: {text}", file=sys.stderr)
    return status
