"""Imports onnxruntime, or says which of diffkiln's extras brings it."""

from ..errors import LibraryError

try:
    import onnxruntime
except ImportError as error:
    raise LibraryError(
        f"onnxruntime cannot be imported ({error}): run pip install 'diffkiln[cpu]' or "
        "pip install 'diffkiln[gpu]'"
    ) from error

__all__ = ["onnxruntime"]
