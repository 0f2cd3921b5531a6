"""A function that runs while its caller does something else."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Background(Generic[Value]):
    """Calls `function` on a thread of its own, at once.

    As concurrent.futures would, whose import takes longer than what is begun here.
    """

    def __init__(self, function: Callable[[], Value]) -> None:
        self._function = function
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._call, daemon=True)
        self._thread.start()

    def result(self) -> Value:
        """Wait for what the function returns, or raise what it raised."""
        self.wait()
        if self._error is not None:
            raise self._error
        return self._value

    def wait(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    def _call(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:
            self._error = error
