"""Runs a graph on tensors in the device's memory, without a NumPy copy of each.

On a GPU the tensors that one step hands to the next stay there. The same code also runs on the CPU,
where it gains nothing, so that it can be tested anywhere.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .conditioning import Feeds
from .library import onnxruntime

# NumPy's names of the types that inputs and outputs of a bundle have.
DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(uint8)": "uint8"}

# The session holds the captured kernels and the tensors of each shape for all its life. A job has
# few shapes; more of them run without replay.
MAX_SHAPES = 8

_NOT_CAPTURED = "-1"  # onnxruntime's number for a run that is neither captured nor replayed

Tensors = dict[str, onnxruntime.OrtValue]


def run_kept(
    session: onnxruntime.InferenceSession,
    device: str,
    feeds: Mapping[str, np.ndarray | onnxruntime.OrtValue],
    options: onnxruntime.RunOptions,
) -> list[Any]:
    """Run once; return all outputs but the last as tensors on the device, the last as an array.

    `feeds` are arrays, which are copied to the device, or outputs of an earlier run, which are not.
    """
    binding = session.io_binding()
    for name, value in feeds.items():
        if isinstance(value, np.ndarray):
            binding.bind_cpu_input(name, np.asarray(value, order="C"))
        else:
            binding.bind_ortvalue_input(name, value)
    *kept, last = [output.name for output in session.get_outputs()]
    for name in kept:
        binding.bind_output(name, device)
    binding.bind_output(last, "cpu")
    session.run_with_iobinding(binding, options)
    *values, images = binding.get_outputs()
    return [*values, images.numpy()]


class Replay:
    """Runs a graph without control flow at fixed addresses, so that CUDA can replay its kernels.

    Each shape of the inputs has one set of tensors, bound once: inputs are copied into them, and
    outputs out of them. onnxruntime captures the kernels at the first run of a shape and replays
    them at every other, as long as no tensor moves. A capture belongs to the thread that ran:
    another thread would capture again, and hold that for the life of the session. So one thread
    makes all runs, one after the other.
    """

    def __init__(self, session: onnxruntime.InferenceSession, device: str) -> None:
        # Imported only here, since the import takes longer than loading a small graph.
        from concurrent.futures import ThreadPoolExecutor

        self._session, self._device = session, device
        # By the inputs' shapes: the binding, its inputs and outputs, and its number for CUDA.
        self._shapes: dict[Any, tuple[Any, Tensors, Tensors, str]] = {}
        self._thread = ThreadPoolExecutor(1, "diffkiln-replay")

    def run(self, feeds: Feeds, options: onnxruntime.RunOptions) -> list[np.ndarray]:
        """Return all outputs in the graph's order."""
        return self._thread.submit(self._run, feeds, options).result()

    def _run(self, feeds: Feeds, options: onnxruntime.RunOptions) -> list[np.ndarray]:
        key = tuple((name, array.shape) for name, array in sorted(feeds.items()))
        if key not in self._shapes and len(self._shapes) == MAX_SHAPES:
            options.add_run_config_entry("gpu_graph_id", _NOT_CAPTURED)
            return [np.asarray(out) for out in self._session.run(None, dict(feeds), options)]
        if key not in self._shapes:
            self._shapes[key] = (*self._bind(feeds), str(len(self._shapes)))
        binding, inputs, outputs, number = self._shapes[key]
        for name, array in feeds.items():
            inputs[name].update_inplace(np.asarray(array, order="C"))
        options.add_run_config_entry("gpu_graph_id", number)
        self._session.run_with_iobinding(binding, options)
        return [output.numpy().copy() for output in outputs.values()]

    def _bind(self, feeds: Feeds) -> tuple[Any, Tensors, Tensors]:
        binding = self._session.io_binding()
        inputs = {name: self._tensor(array) for name, array in feeds.items()}
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        sizes = {
            size: length
            for entry in self._session.get_inputs()
            for size, length in zip(entry.shape, feeds[entry.name].shape, strict=True)
        }
        outputs = {}
        for entry in self._session.get_outputs():
            shape = [sizes.get(size, size) for size in entry.shape]
            outputs[entry.name] = self._tensor(np.zeros(shape, DTYPES[entry.type]))
            binding.bind_ortvalue_output(entry.name, outputs[entry.name])
        return binding, inputs, outputs

    def _tensor(self, array: np.ndarray) -> onnxruntime.OrtValue:
        # A copy: on the CPU an OrtValue would share the memory of the caller's array.
        return onnxruntime.OrtValue.ortvalue_from_numpy(array.copy(), self._device)
