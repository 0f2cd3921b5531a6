"""onnxruntime: its import, or the package that is missing, and what its errors mean."""

import re

from ..errors import LibraryError, MemoryShortError, RunError

try:
    import onnxruntime
except ImportError as error:
    if isinstance(interruption := error.__cause__ or error.__context__, KeyboardInterrupt):
        raise interruption from None  # native code turned Ctrl-C into an error of its own
    remedy = "install it again"
    if isinstance(error, ModuleNotFoundError):
        remedy = "run pip install onnxruntime, or for an NVIDIA GPU pip install onnxruntime-gpu"
    raise LibraryError(f"onnxruntime cannot be imported ({error}): {remedy}") from error

__all__ = ["in_one_line", "onnxruntime", "run_error"]

# onnxruntime raises one kind of exception for most failures, so only the text tells them apart.
# Here: its arena, CUDA, cuDNN and cuBLAS, and C++.
_MEMORY_IS_SHORT = re.compile("failed to allocate|out of memory|alloc_failed|bad_alloc", re.I)

_NO_KERNELS = re.compile("no kernel image|NoKernelImage|arch_?mismatch", re.I)


def run_error(error: Exception) -> RunError:
    """Return the error to raise for an error of onnxruntime, with the remedy if one is known."""
    text = f"onnxruntime could not run the graph ({in_one_line(error)})"
    if _MEMORY_IS_SHORT.search(str(error)):
        return MemoryShortError(f"{text}; memory is short, use a smaller max_batch")
    if _NO_KERNELS.search(str(error)):
        return RunError(
            f"{text}; the installed onnxruntime-gpu was not built for this GPU, install a version "
            "that was, or use device='cpu'"
        )
    return RunError(text)


def in_one_line(error: Exception) -> str:
    """Return onnxruntime's message, which may have several lines, as one."""
    return " ".join(str(error).split())
