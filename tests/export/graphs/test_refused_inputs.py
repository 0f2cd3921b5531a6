"""Inputs out of range in hosts that check nothing, onnxruntime and TensorFlow by themselves."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from golden_bundles import GOLDEN
from onnx import helper
from small_models import run_function, run_onnx, small_bundle, small_exporter

from diffkiln.runtime import Sampler

GRAPHS = sorted(GOLDEN.glob("[!o]*.bundle/*.onnx"))  # not of the older one
KNOWN = {
    "seeds": np.array([3, 2**40]),
    "steps": np.array(3),
    "step": np.array(1),
    "start": np.array(1),
    "every": np.array(2),
    "labels": np.array([0, -1]),
    "guidance": np.array(2, np.float32),
    "time": np.array([0, 1], np.float32),
    "network_time": np.array([0.5, 1], np.float32),
    "age": np.array([3, 9]),
}
# Each input, and the rule that refuses it.
WRONG: list[tuple[str, Any, str]] = [
    ("seeds", [3, -1], "seeds_from_0"),
    ("steps", 0, "(steps_from_1_to_1000|(step|start)_below_steps)"),
    ("steps", 1001, "steps_from_1_to_1000"),
    ("steps", 2**62, "steps_from_1_to_1000"),
    ("steps", [], "one_number_steps"),
    ("steps", [3, 3], "one_number_steps"),
    ("step", -1, "step_below_steps"),
    ("step", 3, "step_below_steps"),
    ("start", -1, "start_below_steps"),
    ("start", 3, "start_below_steps"),
    ("every", 0, "every_from_1"),
    ("labels", [0, -7], "labels_from_-1_to_9"),
    ("labels", [10, 0], "labels_from_-1_to_9"),
    ("labels", [0, 1, 2], "as_many_labels_as_"),
    ("guidance", np.nan, "guidance_from_0_to_100"),
    ("guidance", np.inf, "guidance_from_0_to_100"),
    ("guidance", -0.5, "guidance_from_0_to_100"),
    ("guidance", [], "one_number_guidance"),
    ("time", [0.5, 1.01], "time_from_0_to_1"),
    ("time", [0.5], "as_many_time_as_noisy"),
    ("network_time", [np.nan, 0], "network_time_from_0_to_1"),
]


def feeds(file: Path) -> dict[str, np.ndarray]:
    """Inputs of a graph, for two images."""
    given = {}
    for value in onnx.load(file).graph.input:
        shape = [size.dim_value or 2 for size in value.type.tensor_type.shape.dim]
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        given[value.name] = KNOWN.get(value.name, np.full(shape, 0.5).astype(dtype))
    return given


def ids(value: object) -> str | None:
    return f"{value.parent.stem}-{value.stem}" if isinstance(value, Path) else None


@pytest.mark.parametrize("file", GRAPHS, ids=ids)
def test_a_single_number_is_taken_as_a_list_too(file: Path) -> None:
    given = feeds(file)
    lists = {name: value.reshape(-1) if not value.ndim else value for name, value in given.items()}
    for expected, output in zip(run_onnx(file, **given), run_onnx(file, **lists), strict=True):
        np.testing.assert_array_equal(output, expected)


@pytest.mark.parametrize("file", GRAPHS, ids=ids)
def test_what_is_out_of_range_is_an_error_that_says_so(file: Path) -> None:
    given = feeds(file)
    for name, wrong, rule in WRONG:
        if name in given:
            received = np.array(wrong, given[name].dtype)
            if "guided" in str(file):
                rule = rule.replace("guidance_from_0_to_100", "guidance_from_0.5_to_4")
            if "arrays" in str(file) or "cascade" in str(file):
                rule = rule.replace("labels_from_-1_to_9", "labels_from_-1_to_1")
            # Without a Loop, a network may fail before the rule does.
            with pytest.raises(Exception, match=f"expects_{rule}|network/.*/(Concat|Add)"):
                run_onnx(file, **{**given, name: received})


@pytest.mark.parametrize("file", GRAPHS, ids=ids)
def test_nothing_is_drawn_where_a_runtime_has_no_such_error(file: Path) -> None:
    model, given = onnx.load(file), feeds(file)
    for node in model.graph.node:
        if "/expects_" in f"/{node.name}" and node.op_type == "Gather":
            # A GPU reads 0 beyond the end, and others read what is at the end, which is 0 as well.
            node.op_type = "Identity"
            del node.input[1:], node.attribute[:]
    for name, wrong, _ in WRONG:
        received = np.array(wrong, KNOWN[name].dtype)
        if name in given and received.shape == given[name].shape:
            outputs = run_onnx(model, **{**given, name: received})
            drawn = [output for output in outputs if output.dtype != np.int64]
            assert all(np.isnan(output).all() or not output.any() for output in drawn)


def test_tensorflow_refuses_them_too() -> None:
    signatures = small_exporter(graphs=("sampler", "trajectory")).signatures
    given = {"seeds": [3], "steps": 2, "every": 1, "noisy": np.zeros((1, 8, 8, 3)), "time": [1.0]}
    loops = signatures.processes()
    for function, wrong, rule in (
        (loops["sampler"].function, {"steps": 1001}, "steps_from_1_to_1000"),
        (loops["trajectory"].function, {"every": 0}, "every_from_1"),
        (signatures.denoise, {"time": [2.0]}, "time_from_0_to_1"),
    ):
        run_function(function, **given)
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"expects_{rule}"):
            run_function(function, **{**given, **wrong})


def test_single_numbers_can_be_declared_as_lists(tmp_path: Path) -> None:
    graphs = ("sampler", "noise", "step", "from_noise")
    small_bundle(tmp_path / "b", graphs=graphs, numbers_as_lists=True)
    session = onnxruntime.InferenceSession(tmp_path / "b" / "sampler.onnx")
    assert [value.shape for value in session.get_inputs()] == [["N"], [1]]
    (images,) = session.run(None, {"seeds": np.arange(2), "steps": np.array([3])})
    with Sampler(tmp_path / "b", device="cpu") as sampler:
        np.testing.assert_array_equal(sampler.sample(2, steps=3), images)
        stepped = sampler.sample(2, steps=3, progress=lambda *_: None)
    # One level of 255, since a step by itself adds in another order.
    assert np.abs(stepped.astype(int) - images).max() <= 1
