"""Expected errors: each says what was received, what was expected, and what to do."""


class DiffkilnError(Exception):
    """A command prints it as one line; any other error is a defect and keeps its traceback."""


class BundleError(DiffkilnError, ValueError):
    """A bundle is missing, damaged, or of a kind that this version cannot read."""


class DeviceError(DiffkilnError, ValueError):
    """The requested device does not exist or cannot be used on this machine."""


class LibraryError(DiffkilnError, ImportError):
    """A library that diffkiln needs, or a file of its own, is missing or cannot be read."""


class RunError(DiffkilnError, RuntimeError):
    """onnxruntime failed while it ran a graph."""


class MemoryShortError(RunError):
    """onnxruntime could not allocate the memory that a graph needs for so many images."""


class CancelledError(DiffkilnError):
    """Nobody waits for the images any more: the caller cancelled them, or the process exits."""


class UsageError(DiffkilnError, ValueError):
    """The flags of a command are wrong."""
