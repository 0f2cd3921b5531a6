"""Options of an onnxruntime session on the CPU, in turns with its defaults in one process.

    python benchmarks/session_options.py --bundle=flowers.bundle --options=again,no_spinning

Prints medians of pairwise ratios, of the time and the CPU time of runs, and of the CPU time of
pauses between runs, in which threads may spin. "again" is another session with the defaults: it
shows how exact the other ratios are. Other work on the machine changes the answer, above all for
spinning.
"""

import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime
from absl import app, flags

from diffkiln.runtime import open_bundle
from diffkiln.runtime.device.resources import default_threads

FLAGS = flags.FLAGS
LEVELS = onnxruntime.GraphOptimizationLevel

# By name: attributes of the session's options, and entries of their configuration.
OPTIONS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "again": ({}, {}),
    "no_spinning": ({}, {"session.intra_op.allow_spinning": "0"}),
    "short_spinning": ({}, {"session.intra_op.spin_duration_us": "200"}),
    "stop_spinning": ({}, {"session.force_spinning_stop": "1"}),
    "no_memory_pattern": ({"enable_mem_pattern": False}, {}),
    "no_arena": ({"enable_cpu_mem_arena": False}, {}),
    "denormals_as_zero": ({}, {"session.set_denormal_as_zero": "1"}),
    "dynamic_blocks": ({}, {"session.dynamic_block_base": "4"}),
    "own_threads": ({"intra_op_num_threads": 0}, {}),
    "parallel": ({"execution_mode": onnxruntime.ExecutionMode.ORT_PARALLEL}, {}),
    "no_blocked_layout": ({"graph_optimization_level": LEVELS.ORT_ENABLE_EXTENDED}, {}),
}

flags.DEFINE_string("bundle", None, "folder that diffkiln-export wrote", required=True)
flags.DEFINE_list("options", list(OPTIONS), f"some of {', '.join(OPTIONS)}")
flags.DEFINE_list("batch_sizes", ["1", "8"], "images per call")
flags.DEFINE_integer("rounds", 30, "turns of each option", lower_bound=1)

_PAUSE_SECONDS = 0.02  # the threads of the session before this one go to sleep meanwhile


def session(content: bytes, attributes: dict, entries: dict) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = default_threads()
    for name, value in attributes.items():
        setattr(options, name, value)
    for name, value in entries.items():
        options.add_session_config_entry(name, value)
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def measure(run: Callable[[], object], times: int) -> tuple[float, float, float]:
    """Seconds and CPU seconds of `times` runs, and CPU seconds of a pause after them.

    One run before wakes the threads.
    """
    time.sleep(_PAUSE_SECONDS)
    run()
    started, used = time.perf_counter(), time.process_time()
    for _ in range(times):
        run()
    took, worked = time.perf_counter() - started, time.process_time()
    time.sleep(_PAUSE_SECONDS)
    return took, worked - used, time.process_time() - worked


def main(_: list[str]) -> None:
    graph = open_bundle(FLAGS.bundle).graph("denoiser")
    content = graph.content()
    sessions = {name: session(content, *OPTIONS[name]) for name in FLAGS.options}
    sessions = {"defaults": session(content, {}, {}), **sessions}
    shape = sessions["defaults"].get_inputs()[0].shape[1:]
    print("batch  option               time    CPU  pause")
    for batch in map(int, FLAGS.batch_sizes):
        noisy = np.random.default_rng(0).standard_normal((batch, *shape)).astype(np.float32)
        feeds = {"noisy": noisy, "time": np.full(batch, 0.5, np.float32)}
        rounds = [
            {
                name: measure(partial(one.run, None, feeds), max(1, 12 // batch))
                for name, one in sessions.items()
            }
            for _ in range(FLAGS.rounds + 1)
        ][1:]  # the first round warms up
        for name in FLAGS.options:
            ratios = (
                statistics.median(turn[name][kind] / turn["defaults"][kind] for turn in rounds)
                for kind in range(3)
            )
            print(f"{batch:5}  {name:18}" + "".join(f"  {ratio:5.3f}" for ratio in ratios))


if __name__ == "__main__":
    app.run(main)
