"""What each form of baking costs: the same sampler in several forms, timed in turns.

    python benchmarks/baking.py --preset=flowers64 --batch=8
    python benchmarks/baking.py --widths=32,64,96,128 --patch_size=1

Prints medians of pairwise ratios to the hand-made Loop, so less than 1 is faster; and for each
solver the Loop over bare calls of the denoiser, one for each step. OpenVINO and diffusers have rows
if they are installed (the `bench` extra). The network of diffusers is its own, so its time is per
multiply-add.
"""

from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
from absl import app, flags
from measuring import Task, in_turns, ratios
from other_runtimes import diffusers_task, is_installed, openvino_task

from diffkiln.export.baking.signatures import Signatures
from diffkiln.export.graphs.assemble import OnnxExporter
from diffkiln.export.graphs.conversion import convert
from diffkiln.export.graphs.translation.translate import translated
from diffkiln.export.network.fitted import fitted
from diffkiln.runtime.engine.session import open_session, session_options
from diffkiln.trainer.config import TrainConfig
from diffkiln.trainer.maths.diffusion import Denoiser
from diffkiln.trainer.maths.sampling import Sampling
from diffkiln.trainer.maths.schedules import CosineSchedule
from diffkiln.trainer.network.size import multiply_adds
from diffkiln.trainer.network.unet import build_unet
from diffkiln.trainer.presets import PRESETS, preset_config

FLAGS = flags.FLAGS
flags.DEFINE_enum("preset", "flowers64", list(PRESETS), "the network")
flags.DEFINE_list("widths", None, "channels of each level, instead of the preset's")
flags.DEFINE_integer("patch_size", None, "patch size, instead of the preset's")
flags.DEFINE_integer("batch", 8, "images at once")
flags.DEFINE_integer("steps", 10, "steps of the sampler")
flags.DEFINE_integer("rounds", 7, "how often each form is timed")

DIFFUSERS = "diffusers, per multiply-add"


def configuration() -> TrainConfig:
    """The preset's configuration, changed by the flags."""
    widths = FLAGS.widths and tuple(map(int, FLAGS.widths))
    return preset_config(FLAGS.preset, widths=widths, patch_size=FLAGS.patch_size)


def random_network() -> keras.Model:
    """The network to bake, with random weights, because equal weights would be merged."""
    network = build_unet(configuration().network)
    for index, variable in enumerate(network.trainable_variables):
        variable.assign(0.05 * tf.random.stateless_normal(variable.shape, (0, index)))
    return network


def exporter(network: keras.Model, solver: str = "ddim", eta: float = 0.0, **settings: Any):
    """An exporter of the network with a solver."""
    denoiser = Denoiser(fitted(network), CosineSchedule(), "velocity", (0.5,) * 3, (0.25,) * 3)
    signatures = Signatures(Sampling(denoiser, solver, eta), fitted(network).shape, "uint8")
    return OnnxExporter(signatures, convert(signatures.network), **settings)


def onnx_task(model: onnx.ModelProto, feeds: dict[str, np.ndarray], calls: int = 1) -> Task:
    """Run a graph `calls` times."""
    session = open_session(model.SerializeToString(), session_options(None), "cpu")
    inputs = {value.name: feeds[value.name] for value in session.get_inputs()}
    return lambda: [session.run(None, inputs) for _ in range(calls)]


def weights_outside(model: onnx.ModelProto) -> onnx.ModelProto:
    """The Loop with its weights in the graph around it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    (loop,) = (node for node in copy.graph.node if node.op_type == "Loop")
    body = next(attribute.g for attribute in loop.attribute if attribute.name == "body")
    copy.graph.initializer.extend(body.initializer)
    del body.initializer[:]
    return copy


def compared(tasks: dict[str, Task], base: str) -> dict[str, float]:
    """The ratio of each task to `base`."""
    # The threads of a task may spin on for some 20 ms.
    return ratios(in_turns(tasks, rounds=FLAGS.rounds, pause_s=0.05), base)


def inputs(network: keras.Model) -> dict[str, np.ndarray]:
    """The inputs of all graphs by name."""
    shape = (FLAGS.batch, *fitted(network).shape)
    noise = np.random.default_rng(0).standard_normal(shape, np.float32)
    return {
        "noise": noise,
        "noisy": noise,
        "steps": np.array(FLAGS.steps),
        "time": np.full(FLAGS.batch, 0.5, np.float32),
        "seeds": np.arange(FLAGS.batch),
    }


def print_forms(network: keras.Model, feeds: dict[str, np.ndarray]) -> None:
    """Compare the forms of baking."""
    ddim, steps = exporter(network), FLAGS.steps
    denoiser, looped = ddim.graph("denoiser"), ddim.graph("from_noise")
    unrolled = exporter(network, unroll_steps=steps).graph("from_noise")
    function, total = ddim.signatures.from_noise.function, tf.constant(steps, tf.int64)
    forms: dict[str, Task] = {
        "hand-made Loop": onnx_task(looped, feeds),
        "unrolled": onnx_task(unrolled, feeds),
        "bare denoiser calls": onnx_task(denoiser, feeds, calls=steps),
        "Loop, weights outside": onnx_task(weights_outside(looped), feeds),
        "tf2onnx on tf.while_loop": onnx_task(translated(function), feeds),
        "tf.while_loop in TensorFlow": lambda: function(tf.constant(feeds["noise"]), total),
    }
    if is_installed("openvino"):
        forms["OpenVINO, denoiser calls"] = openvino_task(denoiser, feeds, steps)
    config, ours, theirs = configuration(), multiply_adds(network), 1
    if is_installed("torch", "diffusers"):
        shape = feeds["noise"].shape
        pipeline = (config.widths, shape, config.patch_size, config.blocks, steps)
        forms[DIFFUSERS], theirs = diffusers_task(*pipeline)
    size = f"{ours / 1e9:.2f} G multiply-adds"
    print(f"{FLAGS.preset}, {size}, batch {FLAGS.batch}, {steps} steps")
    for name, ratio in compared(forms, "hand-made Loop").items():
        print(f"  {name:30} {ratio * ours / theirs if name == DIFFUSERS else ratio:5.2f}")


def print_solvers(network: keras.Model, feeds: dict[str, np.ndarray]) -> None:
    """Compare the Loop of each solver with bare calls of the denoiser."""
    exporters = {
        "ddim": exporter(network),
        "ddim, eta 1": exporter(network, eta=1.0),
        "dpmpp_2m": exporter(network, "dpmpp_2m"),
    }
    tasks = {"bare": onnx_task(exporters["ddim"].graph("denoiser"), feeds, calls=FLAGS.steps)}
    for name, each in exporters.items():
        tasks[name] = onnx_task(each.graph("from_noise"), feeds)
    print("Loop over bare denoiser calls, by solver")
    for name, ratio in compared(tasks, "bare").items():
        print(f"  {name:30} {ratio:5.2f}")


def main(_: list[str]) -> None:
    """Print both tables."""
    network = random_network()
    feeds = inputs(network)
    print_forms(network, feeds)
    print_solvers(network, feeds)


if __name__ == "__main__":
    app.run(main)
