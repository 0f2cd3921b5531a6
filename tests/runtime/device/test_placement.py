"""A node that runs on the CPU instead of a GPU is named; noise and counters are not."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnxruntime
import pytest
from onnx import shape_inference

from diffkiln.export.graphs.cuda_check import _has_kernel
from diffkiln.export.graphs.cuda_kernels import HOST_INPUTS, HOST_OUTPUTS, KERNELS
from diffkiln.runtime.device.device import CPU_PROVIDER, CUDA_PROVIDER
from diffkiln.runtime.device.placement import (
    _FOLLOWING,
    Placement,
    described,
    misplaced,
    placements,
)

SAMPLING = ("sampler", "from_noise", "step", "noise")
LOGIC = {"And", "Not", "Or"}


def placed(file: Path) -> list[Placement]:
    """Return where onnxruntime runs the nodes of a graph here: all of them on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = onnxruntime.InferenceSession(file, options, providers=[CPU_PROVIDER])
    return list(placements(session))


@pytest.fixture(scope="module")
def nodes(tiny_bundle: Path) -> list[Placement]:
    return placed(tiny_bundle / "sampler.onnx")


def expected(file: Path, *without: str) -> list[Placement]:
    """Return where onnxruntime would place the nodes, by its rule and the exporter's kernels.

    The rule (core/framework/fallback_cpu_capability.cc): a node without a kernel is on the CPU. So
    is a node that reads something from there, and otherwise only small constants or the graph's
    inputs. `without` removes operators from the exporter's table.
    """
    graph = shape_inference.infer_shapes(onnx.load(file), data_prop=True).graph
    return list(_by_rule(graph, without))


def _by_rule(graph: onnx.GraphProto, without: tuple[str, ...]) -> Iterator[Placement]:
    values = {v.name: v.type.tensor_type for v in (*graph.input, *graph.value_info, *graph.output)}
    free = {value.name for value in graph.input}
    free |= {value.name for value in graph.initializer if math.prod(value.dims) <= 100}
    on_cpu: set[str] = set()
    for node in graph.node:
        for body in (attribute.g for attribute in node.attribute if attribute.HasField("g")):
            yield from _by_rule(body, without)
        kernel = node.op_type not in without and _has_kernel(node, values)
        host = HOST_INPUTS.get(node.op_type, frozenset())
        follows = not on_cpu.isdisjoint(node.input) and all(
            name in free or (name in on_cpu and place not in host)
            for place, name in enumerate(node.input)
        )
        provider = CUDA_PROVIDER if kernel and not follows else CPU_PROVIDER
        if provider == CPU_PROVIDER or node.op_type in HOST_OUTPUTS:
            on_cpu |= set(node.output)
        yield Placement(node.name, node.op_type, provider)


def test_the_body_of_the_loop_is_included(nodes: list[Placement]) -> None:
    assert "Loop" in {node.operator for node in nodes}
    assert any(node.node.startswith("body/network/") for node in nodes)


def test_on_the_cpu_the_whole_network_is_misplaced(nodes: list[Placement]) -> None:
    wrong = misplaced(nodes)
    assert {"Conv", "Sigmoid", "Resize", "Round"} <= {node.operator for node in wrong}
    convolutions = [node for node in nodes if node.operator == "Conv"]
    assert [node for node in wrong if node.operator == "Conv"] == convolutions


def test_noise_shapes_and_counters_may_be_on_the_cpu(nodes: list[Placement]) -> None:
    noise = [node for node in nodes if "/threefry/" in node.node]
    assert {"BitwiseXor", "Div"} <= {node.operator for node in noise}
    assert not set(noise) & set(misplaced(nodes))
    assert not {"Loop", "Shape"} & {node.operator for node in misplaced(nodes)}


@pytest.mark.parametrize(
    ("name", "graph"),
    [
        *((name, graph) for name in ("tiny_bundle", "class_bundle") for graph in SAMPLING),
        ("tiny_bundle", "denoiser"),
    ],
)
def test_our_network_would_run_on_a_gpu(
    request: pytest.FixtureRequest, name: str, graph: str
) -> None:
    bundle: Path = request.getfixturevalue(name)
    nodes = expected(bundle / f"{graph}.onnx")
    assert misplaced(nodes) == []
    if graph != "noise":
        assert CUDA_PROVIDER in {
            node.provider for node in nodes if "network" in node.node.split("/")
        }


def test_the_rule_is_what_a_gpu_did(class_bundle: Path) -> None:
    """An H200 with onnxruntime 1.31 put these nodes on the CPU: they split off unguided rows.

    It has not run those that compare the number of labels with that of images.
    """
    nodes = [each for each in expected(class_bundle / "step.onnx") if "expects_" not in each.node]
    operators = Counter(node.operator for node in nodes if node.provider == CPU_PROVIDER)
    operators -= Counter(["Cast", "Equal", "Slice", "Squeeze"])
    assert operators == Counter(
        ["Cast", "Cast", "Neg", "Slice", "Squeeze", "Unsqueeze", "Unsqueeze"]
    )


def test_an_operator_without_a_kernel_is_found_inside_the_loop(tiny_bundle: Path) -> None:
    wrong = misplaced(expected(tiny_bundle / "sampler.onnx", "Resize"))
    assert {node.operator for node in wrong} == {"Resize"}
    text = described(wrong, "sampler.onnx")
    assert re.search(r"Resize.* \(Resize.*of sampler.onnx on the CPU", text)


def test_the_message_names_node_operator_and_layer() -> None:
    node = Placement("body/network/unet/norm_1/Mean", "ReduceMean", CPU_PROVIDER)
    assert described([node] * 5, "step.onnx") == (
        "onnxruntime would run "
        + ", ".join(["body/network/unet/norm_1/Mean (ReduceMean of layer unet/norm_1)"] * 3)
        + " and 2 more of step.onnx on the CPU"
    )


def test_a_name_that_only_resembles_the_noise() -> None:
    node = Placement("body/network/threefryish/Conv", "Conv", CPU_PROVIDER)
    assert misplaced([node]) == [node]


@pytest.mark.parametrize("operator", sorted(_FOLLOWING - LOGIC))
def test_operators_that_may_follow_have_kernels_for_every_float(operator: str) -> None:
    """Otherwise a node that lacks a kernel could run on the CPU and not be named."""
    assert {"float", "float16"} <= KERNELS[operator]
