"""The structure of the ONNX graphs, on which their speed and their portability rest."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.quantization.shape_inference import quant_pre_process
from small_models import run_onnx, with_random_weights

from diffkiln.export.baking.signatures import Signatures
from diffkiln.export.conditions import Condition
from diffkiln.export.graphs.assemble import OnnxExporter
from diffkiln.export.graphs.conversion import convert
from diffkiln.export.network.fitted import fitted
from diffkiln.export.options import GRAPHS
from diffkiln.trainer.config import TrainConfig
from diffkiln.trainer.maths.diffusion import Denoiser
from diffkiln.trainer.maths.sampling import Sampling
from diffkiln.trainer.maths.schedules import CosineSchedule
from diffkiln.trainer.network.unet import build_unet
from diffkiln.trainer.presets import PRESETS, preset_config

INTERFACES = {
    "sampler": (["seeds", "steps"], ["images"]),
    "from_noise": (["noise", "steps"], ["images"]),
    "denoiser": (["noisy", "time"], ["image", "noise"]),
    "noise": (["seeds"], ["noise"]),
    "step": (["step", "steps", "noisy"], ["next_noisy", "images"]),
}


@pytest.fixture(scope="module", params=PRESETS)
def config(request: pytest.FixtureRequest) -> TrainConfig:
    return preset_config(request.param)


@pytest.fixture(scope="module")
def models(config: TrainConfig) -> dict[str, onnx.ModelProto]:
    """The graphs of each preset's network, of random weights: equal ones would be merged."""
    network = with_random_weights(build_unet(config.network))
    conditions = {each.name: Condition(null=None) for each in config.conditions}
    own = fitted(network, conditions=conditions)
    denoiser = Denoiser(own, CosineSchedule(), "velocity", (0.5,) * 3, (0.25,) * 3)
    signatures = Signatures(Sampling(denoiser), own.shape, "uint8", own.conditions)
    exporter = OnnxExporter(signatures, convert(signatures.network))
    return {name: exporter.graph(name) for name in GRAPHS}


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and all graphs inside it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from graphs(attribute.g)


def loop_body(model: onnx.ModelProto) -> onnx.GraphProto:
    (loop,) = [node for node in model.graph.node if node.op_type == "Loop"]
    return next(attribute.g for attribute in loop.attribute if attribute.name == "body")


def nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for graph in graphs(model.graph) for node in graph.node]


def test_tensors_stand_in_the_contracts_order(
    models: dict[str, onnx.ModelProto], config: TrainConfig
) -> None:
    conditions = [each.name for each in config.conditions]
    for name, model in models.items():
        expected, results = INTERFACES[name]
        expected = expected if name == "noise" else expected + conditions
        inputs = [value.name for value in model.graph.input]
        outputs = [value.name for value in model.graph.output]
        assert (inputs, outputs) == (expected, results)


def test_only_standard_operators_of_opset_18_and_none_random(
    models: dict[str, onnx.ModelProto],
) -> None:
    for model in models.values():
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
        assert {node.domain for node in nodes(model)} == {""}
        assert not [node for node in nodes(model) if node.op_type.startswith("Random")]


def test_the_body_owns_the_weights_and_transposes_none(models: dict[str, onnx.ModelProto]) -> None:
    body = loop_body(models["sampler"])
    owned = {initializer.name for initializer in body.initializer}
    transposes = [node for node in body.node if node.op_type == "Transpose"]
    assert len(transposes) <= 6
    assert not [node for node in transposes if node.input[0] in owned]
    assert all(node.input[1] in owned for node in body.node if node.op_type == "Conv")


def test_onnxruntime_runs_every_convolution_blocked(
    models: dict[str, onnx.ModelProto], tmp_path: Path
) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    content = models["sampler"].SerializeToString()
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    optimised = onnx.load(tmp_path / "optimised.onnx")
    convolutions = [node for node in nodes(optimised) if node.op_type in ("Conv", "FusedConv")]
    if not [node for node in nodes(optimised) if "nchwc" in node.domain]:
        pytest.skip("onnxruntime has no blocked convolutions for this processor")
    assert len(convolutions) == sum(node.op_type == "Conv" for node in nodes(models["sampler"]))
    assert {node.domain for node in convolutions} == {"com.microsoft.nchwc"}


@pytest.mark.parametrize("bundle", ["full_bundle", "class_bundle"])
def test_onnxruntimes_quantisation_can_prepare_it(
    bundle: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("sympy", reason="needs sympy, which onnxruntime's tools import")
    sampler, ready = request.getfixturevalue(bundle) / "sampler.onnx", tmp_path / "ready.onnx"
    given, classes = {"seeds": np.arange(2), "steps": np.array(3)}, bundle == "class_bundle"
    quant_pre_process(sampler, ready, auto_merge=not classes, skip_symbolic_shape=classes)
    if classes:
        given |= {"labels": np.arange(2), "guidance": np.array(2, np.float32)}
    np.testing.assert_array_equal(run_onnx(ready, **given), run_onnx(sampler, **given))


def test_graphs_weigh_little_more_than_their_weights(
    models: dict[str, onnx.ModelProto], config: TrainConfig
) -> None:
    body = loop_body(models["sampler"])
    weights = sum(onnx.numpy_helper.to_array(value).nbytes for value in body.initializer)
    # The noise is 4 bytes for two numbers of an image, and the nodes 60 KB or so.
    noise = 2 * 3 * config.image_size**2
    assert models["sampler"].ByteSize() < 1.01 * weights + noise + 96_000


def test_seeds_and_steps_have_the_contracts_types(models: dict[str, onnx.ModelProto]) -> None:
    seeds, steps = (value.type.tensor_type for value in models["sampler"].graph.input[:2])
    assert [seeds.elem_type, steps.elem_type] == [onnx.TensorProto.INT64] * 2
    assert [dim.dim_param for dim in seeds.shape.dim] == ["N"]
    assert not steps.shape.dim


def test_metadata_alone_describes_the_sampler(tiny_bundle: Path) -> None:
    model = onnx.load(tiny_bundle / "sampler.onnx")
    properties = {item.key: json.loads(item.value) for item in model.metadata_props}
    manifest = json.loads((tiny_bundle / "bundle.json").read_text())
    for name in ("format_version", "image", "schedule", "pixel_mean", "sampler", "noise"):
        assert properties[f"diffkiln.{name}"] == manifest[name]


def test_golden_vectors_are_what_the_graph_makes(tiny_bundle: Path) -> None:
    golden = json.loads((tiny_bundle / "bundle.json").read_text())["noise"]["golden"]
    for case in (case for case in golden if case["stream"] == 0):
        seeds = np.array([case["seed"]], np.int64)
        (noise,) = run_onnx(tiny_bundle / "noise.onnx", seeds=seeds)
        np.testing.assert_allclose(noise.ravel()[:4], case["noise"], atol=4e-6)
