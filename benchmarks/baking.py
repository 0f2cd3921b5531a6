"""What the way of baking costs: the same sampler in several forms, timed turn by turn.

    python benchmarks/baking.py --preset=flowers64 --batch=8
    python benchmarks/baking.py --widths=32,64,96,128 --patch_size=1

Prints medians of pairwise ratios to the hand-made Loop, so less than 1 is faster; and for each
solver the Loop over as many bare calls of the denoiser. OpenVINO and diffusers have rows where they
are installed (the `bench` extra); the latter's network is its own, so its time is per multiply-add.
"""

import statistics
import time

import keras
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from absl import app, flags
from other_runtimes import Task, diffusers_task, is_installed, openvino_task

from diffkiln.export.baking.network import adapted, image_shape
from diffkiln.export.baking.signatures import Signatures
from diffkiln.export.graphs.assemble import OnnxExporter
from diffkiln.export.graphs.conversion import convert
from diffkiln.export.graphs.translation import translated
from diffkiln.trainer.config import TrainConfig
from diffkiln.trainer.describe import multiply_adds
from diffkiln.trainer.maths.diffusion import Denoiser
from diffkiln.trainer.maths.sampling import Sampling
from diffkiln.trainer.maths.schedules import CosineSchedule
from diffkiln.trainer.network.unet import build_unet
from diffkiln.trainer.presets import PRESETS, preset_config

FLAGS = flags.FLAGS
flags.DEFINE_enum("preset", "flowers64", list(PRESETS), "the network")
flags.DEFINE_list("widths", None, "other channels of each level than the preset's")
flags.DEFINE_integer("patch_size", None, "another one than the preset's")
flags.DEFINE_integer("batch", 8, "images at once")
flags.DEFINE_integer("steps", 10, "steps of the sampler")
flags.DEFINE_integer("rounds", 7, "how often each form is timed")

DIFFUSERS = "diffusers, per multiply-add"


def configuration() -> TrainConfig:
    """The preset's, with the flags over it."""
    widths = FLAGS.widths and tuple(map(int, FLAGS.widths))
    return preset_config(FLAGS.preset, widths=widths, patch_size=FLAGS.patch_size)


def random_network() -> keras.Model:
    """The network to bake; equal weights would be merged, so they are random."""
    network = build_unet(configuration().network)
    for index, variable in enumerate(network.trainable_variables):
        variable.assign(0.05 * tf.random.stateless_normal(variable.shape, (0, index)))
    return network


def exporter(network: keras.Model, solver: str = "ddim", eta: float = 0.0, **settings: int):
    """An exporter of the network with this solver."""
    denoiser = Denoiser(adapted(network), CosineSchedule(), "velocity", (0.5,) * 3, (0.25,) * 3)
    signatures = Signatures(Sampling(denoiser, solver, eta), image_shape(network), "uint8")
    return OnnxExporter(signatures, convert(signatures.network), **settings)


def onnx_task(model: onnx.ModelProto, feeds: dict[str, np.ndarray], calls: int = 1) -> Task:
    """Run a graph `calls` times."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    given = {value.name: feeds[value.name] for value in session.get_inputs()}
    return lambda: [session.run(None, given) for _ in range(calls)]


def weights_outside(model: onnx.ModelProto) -> onnx.ModelProto:
    """The Loop with its weights in the graph around it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    (loop,) = (node for node in copy.graph.node if node.op_type == "Loop")
    body = next(attribute.g for attribute in loop.attribute if attribute.name == "body")
    copy.graph.initializer.extend(body.initializer)
    del body.initializer[:]
    return copy


def converted_loop(made: OnnxExporter) -> onnx.ModelProto:
    """What tf2onnx makes of the same loop in TensorFlow."""
    return translated(made.signatures.from_noise.function)


def ratios(tasks: dict[str, Task], base: str) -> dict[str, float]:
    """Median of the pairwise ratios of each task to `base`, all taking turns."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():
        task()
    for _ in range(FLAGS.rounds):
        for name, task in tasks.items():
            time.sleep(0.05)  # threads of the task before may spin on for a while
            started = time.perf_counter()
            task()
            times[name].append(time.perf_counter() - started)
    return {
        name: statistics.median(a / b for a, b in zip(values, times[base], strict=True))
        for name, values in times.items()
    }


def main(_: list[str]) -> None:
    """Print both tables."""
    network = random_network()
    made, steps = exporter(network), FLAGS.steps
    shape = (FLAGS.batch, *image_shape(network))
    noise = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    feeds = {
        "noise": noise,
        "noisy": noise,
        "steps": np.array(steps),
        "time": np.full(FLAGS.batch, 0.5, np.float32),
        "seeds": np.arange(FLAGS.batch),
    }
    looped = made.graph("from_noise")
    unrolled = exporter(network, unroll_steps=steps).graph("from_noise")
    bare = onnx_task(made.graph("denoiser"), feeds, calls=steps)
    in_tensorflow, total = made.signatures.from_noise.function, tf.constant(steps, tf.int64)
    forms: dict[str, Task] = {
        "hand-made Loop": onnx_task(looped, feeds),
        "unrolled": onnx_task(unrolled, feeds),
        "bare denoiser calls": bare,
        "Loop, weights outside": onnx_task(weights_outside(looped), feeds),
        "tf2onnx on tf.while_loop": onnx_task(converted_loop(made), feeds),
        "tf.while_loop in TensorFlow": lambda: in_tensorflow(tf.constant(noise), total),
    }
    if is_installed("openvino"):
        forms["OpenVINO, denoiser calls"] = openvino_task(made.graph("denoiser"), feeds, steps)
    config, ours, theirs = configuration(), multiply_adds(network), 1
    if is_installed("torch", "diffusers"):
        pipeline = (config.widths, shape, config.patch_size, config.blocks, steps)
        forms[DIFFUSERS], theirs = diffusers_task(*pipeline)
    size = f"{ours / 1e9:.2f} G multiply-adds"
    print(f"{FLAGS.preset}, {size}, batch {FLAGS.batch}, {steps} steps")
    for name, ratio in ratios(forms, "hand-made Loop").items():
        print(f"  {name:30} {ratio * ours / theirs if name == DIFFUSERS else ratio:5.2f}")
    print("Loop over bare denoiser calls, by solver")
    solvers = {
        "ddim": looped,
        "ddim, eta 1": exporter(network, eta=1.0).graph("from_noise"),
        "dpmpp_2m": exporter(network, "dpmpp_2m").graph("from_noise"),
    }
    tasks = {name: onnx_task(model, feeds) for name, model in solvers.items()}
    for name, ratio in ratios({"bare": bare, **tasks}, "bare").items():
        print(f"  {name:30} {ratio:5.2f}")


if __name__ == "__main__":
    app.run(main)
