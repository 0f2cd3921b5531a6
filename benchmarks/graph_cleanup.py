"""What cleaning up the converted step is worth: the same graph by several tools, interleaved.

    python benchmarks/graph_cleanup.py --preset=flowers64
    python benchmarks/graph_cleanup.py --preset=flowers64 --attention

With `--attention` the network has attention wherever its images shrink. A row for each tool: nodes
and Transposes left, the tool's own seconds, the median of pairwise ratios (time of this graph over
time of the one that the exporter writes) at batch 1 and 8, and the largest difference of an output
from the graph as converted. onnxslim and onnxoptimizer are not among this project's requirements:
their rows are there if they can be imported.
"""

import importlib
import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from absl import app, flags

from diffkiln.export.baking.network import adapted
from diffkiln.export.baking.signatures import Signatures
from diffkiln.export.graphs.graph import OPSET
from diffkiln.export.graphs.tidying import tidied, with_fewer_transposes
from diffkiln.export.graphs.translation import translated
from diffkiln.trainer.maths.diffusion import Denoiser
from diffkiln.trainer.maths.sampling import Sampling
from diffkiln.trainer.maths.schedules import CosineSchedule
from diffkiln.trainer.network.unet import build_unet
from diffkiln.trainer.presets import PRESETS, preset_config

Model = onnx.ModelProto

FLAGS = flags.FLAGS
BATCHES = (1, 8)
OURS = "exporter"

flags.DEFINE_enum("preset", "flowers64", list(PRESETS), "network")
flags.DEFINE_bool("attention", False, "add attention to the network")
flags.DEFINE_integer("rounds", 15, "times that every graph runs", lower_bound=1)
flags.DEFINE_integer("threads", 1, "threads of onnxruntime", lower_bound=1)


def converted_step() -> tuple[Model, tuple[int, ...]]:
    """One step of the preset's sampler as tf2onnx makes it, and the shape of an image."""
    config = preset_config(FLAGS.preset)
    network = build_unet(config.network)
    if FLAGS.attention:
        network = with_attention(network)
    # Zeros and ones would be folded or merged, as no trained weights are.
    for index, weights in enumerate(network.trainable_variables):
        weights.assign(0.1 * tf.random.stateless_normal(weights.shape, (0, index)))
    shape = (config.image_size, config.image_size, 3)
    denoiser = Denoiser(adapted(network), CosineSchedule(), "velocity", (0.5,) * 3, (0.25,) * 3)
    step = Signatures(Sampling(denoiser), shape, "uint8").processes()["sampler"].step_function
    return translated(step), shape


def with_attention(network: keras.Model) -> keras.Model:
    """The network with attention wherever the image shrinks, of four heads."""

    def cloned(layer: keras.Layer) -> keras.Layer:
        return layer

    def call(layer: keras.Layer, *arguments: Any, **settings: Any) -> Any:
        image = layer(*arguments, **settings)
        if not isinstance(layer, keras.layers.AveragePooling2D):
            return image
        height, width, channels = image.shape[1:]
        tokens = keras.layers.Reshape((height * width, channels))(image)
        attended = keras.layers.MultiHeadAttention(4, channels // 4)(tokens, tokens)
        return image + keras.layers.Reshape((height, width, channels))(attended)

    return keras.models.clone_model(network, clone_function=cloned, call_function=call)


def slimmed(model: Model) -> Model:
    return importlib.import_module("onnxslim").slim(model)


def optimised(model: Model) -> Model:
    """By onnxoptimizer, all passes that change a graph without splitting it."""
    optimizer = importlib.import_module("onnxoptimizer")
    return optimizer.optimize(model, optimizer.get_fuse_and_elimination_passes(), True)


def tools() -> dict[str, Callable[[Model], Model]]:
    made: dict[str, Callable[[Model], Model]] = {
        OURS: lambda model: with_fewer_transposes(tidied(model)),
        "tidied": tidied,
        "as converted": lambda model: model,
    }
    if importlib.util.find_spec("onnxslim"):
        made["onnxslim"] = slimmed
        made["tidied, onnxslim"] = lambda model: slimmed(tidied(model))
        made["onnxslim, tidied"] = lambda model: tidied(slimmed(model))
    if importlib.util.find_spec("onnxoptimizer"):
        made["onnxoptimizer"] = optimised
        made["tidied, onnxoptimizer"] = lambda model: optimised(tidied(model))
    return made


def session(model: Model) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = FLAGS.threads
    options.log_severity_level = 3
    content = model.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def feeds(batch: int, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(0).standard_normal((batch, *shape)).astype(np.float32)
    return {"step": np.array(0), "steps": np.array(20), "noisy": noise}


def ratios(
    sessions: dict[str, onnxruntime.InferenceSession], given: dict[str, np.ndarray]
) -> dict[str, float]:
    """Median, over rounds that run all graphs in turn, of each one's time over ours."""

    def seconds(name: str) -> float:
        started = time.perf_counter()
        sessions[name].run(None, given)
        return time.perf_counter() - started

    for name in sessions:
        seconds(name)
    rounds = [{name: seconds(name) for name in sessions} for _ in range(FLAGS.rounds)]
    return {name: statistics.median(r[name] / r[OURS] for r in rounds) for name in sessions}


def only_standard(model: Model) -> bool:
    """Whether the graph needs nothing but ONNX's own operators of our opset."""
    opsets = {(used.domain, used.version) for used in model.opset_import}
    return ("", OPSET) in opsets and all(not node.domain for node in model.graph.node)


def numbers(running: onnxruntime.InferenceSession, given: dict[str, np.ndarray]) -> np.ndarray:
    """All that the step makes, one output after the other."""
    return np.concatenate([np.ravel(np.asarray(made)) for made in running.run(None, given)])


def main(_: list[str]) -> None:
    raw, shape = converted_step()
    models: dict[str, Model] = {}
    took: dict[str, float] = {}
    for name, tool in tools().items():
        copy = onnx.ModelProto()
        copy.CopyFrom(raw)
        started = time.perf_counter()
        models[name] = tool(copy)
        took[name] = time.perf_counter() - started
    sessions = {name: session(model) for name, model in models.items()}
    times = [ratios(sessions, feeds(batch, shape)) for batch in BATCHES]
    expected = numbers(sessions["as converted"], feeds(2, shape))
    print(f"{FLAGS.preset}, one step, onnxruntime {onnxruntime.__version__}, ", end="")
    print(f"{FLAGS.threads} thread(s), medians of {FLAGS.rounds} pairwise ratios")
    header = ("nodes", "Transposes", "tool s", "batch 1", "batch 8", "differs", "standard")
    print(f"{'':22}" + "".join(f"{title:>11}" for title in header))
    for name, model in models.items():
        nodes: list[Any] = list(model.graph.node)
        transposes = sum(node.op_type == "Transpose" for node in nodes)
        apart = np.abs(numbers(sessions[name], feeds(2, shape)) - expected).max()
        print(f"{name:22}{len(nodes):>11}{transposes:>11}{took[name]:>11.2f}", end="")
        print("".join(f"{by_name[name]:>11.2f}" for by_name in times), end="")
        print(f"{apart:>11.0e}{'yes' if only_standard(model) else 'no':>11}")


if __name__ == "__main__":
    app.run(main)
