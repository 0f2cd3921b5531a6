"""What onnxruntime's table of CUDA kernels says of our graphs, and of others."""

from collections.abc import Callable
from pathlib import Path

import keras
import onnx
import pytest
from onnx import TensorProto, helper
from small_models import PIXELS, with_random_weights

from diffkiln.export import export_bundle
from diffkiln.export.graphs.assemble import OnnxExporter
from diffkiln.export.graphs.cuda_check import CudaCheck, Fallback, check_cuda
from diffkiln.export.options import GRAPHS, MORE_GRAPHS

pytestmark = pytest.mark.slow

Exporter = Callable[..., OnnxExporter]


def check(exporter: OnnxExporter, name: str) -> CudaCheck:
    return check_cuda(exporter.graph(name), 64)


@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
def test_every_step_of_our_network_runs_on_a_gpu(small_exporter: Exporter, half: bool) -> None:
    names = {*GRAPHS, *MORE_GRAPHS} - {"noise"}
    checks = {name: check(small_exporter(half=half), name) for name in names}
    assert checks == dict.fromkeys(names, CudaCheck((), 0))


def test_fresh_noise_is_counted_apart(small_exporter: Exporter) -> None:
    result = check(small_exporter(eta=1.0), "sampler")
    assert result.fallbacks == ()
    # Threefry has a xor and a shift in each of 20 rounds.
    assert result.noise_nodes >= 40


def test_an_activation_without_a_kernel_is_named(tmp_path: Path) -> None:
    noisy, time = keras.Input((8, 8, 3)), keras.Input(())
    hidden = keras.layers.Conv2D(8, 3, padding="same")(noisy)
    hidden = keras.ops.arctan(hidden)
    network = keras.Model([noisy, time], keras.layers.Conv2D(3, 1)(hidden))
    settings = {"graphs": ("sampler",), "saved_model": False, **PIXELS}
    certificate = export_bundle(with_random_weights(network), tmp_path / "b", **settings)
    (fallback,) = certificate.cuda["sampler"].fallbacks
    assert (fallback.operator, fallback.dtype) == ("Atan", "float")
    assert fallback.image_sized
    assert fallback.copies
    assert f"no kernel for {fallback}" in certificate.table()


def graph(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 8, 8, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    opset = helper.make_opsetid("", 18)
    return helper.make_model(helper.make_graph(nodes, "g", [x], [y]), opset_imports=[opset])


def test_what_stays_in_the_cpus_memory_is_not_copied() -> None:
    """A shape is made there, and Expand reads it there."""
    result = check_cuda(
        graph(
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("BitwiseNot", ["shape"], ["not"], name="not"),
            helper.make_node("BitwiseNot", ["not"], ["again"], name="again"),
            helper.make_node("Expand", ["x", "again"], ["y"]),
        ),
        64,
    )
    assert result.fallbacks == (
        Fallback("not", "BitwiseNot", "int64", image_sized=False, copies=False),
        Fallback("again", "BitwiseNot", "int64", image_sized=False, copies=False),
    )


def test_a_kernel_for_other_types_is_none() -> None:
    result = check_cuda(
        graph(
            helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.INT64),
            helper.make_node("Relu", ["whole"], ["positive"], name="relu"),
            helper.make_node("Cast", ["positive"], ["y"], to=TensorProto.FLOAT),
        ),
        64,
    )
    assert result.fallbacks == (Fallback("relu", "Relu", "int64", image_sized=True, copies=True),)
