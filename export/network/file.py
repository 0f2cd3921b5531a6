"""Networks in files: what Keras saved, with layers of the user's own."""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

from ...trainer.errors import InputError
from .causes import cause
from .given import require_tensorflow


def load_keras_file(path: Path, modules: Sequence[str] = (), name: str = "network") -> keras.Model:
    """The network of a `.keras` file, read in Keras's safe mode, which runs no code of the file.

    Errors begin with `name`. `modules` are Python files, or names of modules, that define layers of
    the network. They are imported, so their code runs. Raises InputError for what cannot be
    imported or read.
    """
    require_tensorflow()
    objects = {name: each for module in map(_imported, modules) for name, each in _layers(module)}
    try:
        network: Any = keras.saving.load_model(
            path, custom_objects=objects, compile=False, safe_mode=True
        )
    except Exception as error:  # Keras raises whatever the layers of the file raise
        raise InputError(f"{name}={path}: {_remedied(cause(error))}") from error
    return network


def _imported(name: str) -> ModuleType:
    is_file, before = name.endswith(".py"), [*sys.path]
    # Beside the file, or where the command was started, lie the modules that it imports.
    sys.path.insert(0, str(Path(name).absolute().parent) if is_file else "")
    try:
        return importlib.import_module(name) if not is_file else _executed(name)
    except Exception as error:  # of the user's module, whatever it is
        problem = f"cannot be imported ({type(error).__name__}: {cause(error)})"
        raise InputError(
            f"import={name}: {problem}; expected a Python file or a module with the layers"
        ) from error
    finally:
        sys.path[:] = before


def _executed(file: str) -> ModuleType:
    spec: Any = importlib.util.spec_from_file_location(Path(file).stem, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module


def _layers(module: ModuleType) -> list[tuple[str, Any]]:
    """What a module defines that Keras may look for by name: classes and functions."""
    own = [(name, each) for name, each in vars(module).items() if callable(each)]
    return [
        (name, each) for name, each in own if getattr(each, "__module__", "") == module.__name__
    ]


def _remedied(reason: str) -> str:
    """Keras's reason, and what to do about it."""
    if "Could not locate" in reason:
        reason, remedy = reason.partition(". ")[0], "give the file that defines it with --import"
    elif "Lambda" in reason or "safe_mode" in reason:
        reason = "holds a Lambda layer, which is code that Keras's safe mode does not run"
        remedy = "write it as a layer of a class, or call diffkiln.export.export_bundle from Python"
    else:
        reason, remedy = f"Keras cannot load it: {reason}", "expected a file that model.save wrote"
    return f"{reason}; {remedy}"
