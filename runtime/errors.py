"""The errors that are no defects: each says what was received, expected, and what to do."""


class DiffkilnError(Exception):
    """What a command answers with one line; any other error is a defect and keeps its traceback."""


class BundleError(DiffkilnError, ValueError):
    """A bundle is missing, damaged, or not of a kind that this version can read."""


class DeviceError(DiffkilnError, ValueError):
    """The device asked for does not exist or cannot be used on this machine."""


class LibraryError(DiffkilnError, ImportError):
    """A library that one of diffkiln's extras installs is not there."""


class RunError(DiffkilnError, RuntimeError):
    """onnxruntime failed while it ran a graph."""


class MemoryShortError(RunError):
    """onnxruntime could not have the memory that a graph needs for so many images."""


class UsageError(DiffkilnError, ValueError):
    """The command line cannot be used as given."""
