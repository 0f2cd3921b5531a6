"""The parts of the benchmark: its plan, its counting, its arithmetic and its processes."""

import ast
import os
import signal
import subprocess
import sys
from dataclasses import fields, replace
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import diffkiln.runtime.bench.process
from diffkiln.runtime import Bundle, BundleError, RunError, open_bundle
from diffkiln.runtime.bench.compare.diffusers import Shape, bundle_shape, nearest
from diffkiln.runtime.bench.figures import Row, median_ratio
from diffkiln.runtime.bench.machine import machine
from diffkiln.runtime.bench.network import multiply_adds
from diffkiln.runtime.bench.peak import product_graph
from diffkiln.runtime.bench.plan import BAKED, default_steps, plan
from diffkiln.runtime.bench.plot import write_plot
from diffkiln.runtime.bench.process import Process
from diffkiln.runtime.bench.profile import Node
from diffkiln.runtime.bench.table import aligned
from diffkiln.runtime.errors import UsageError

SOURCES = Path(diffkiln.runtime.bench.process.__file__).parent


def test_the_ratio_is_of_pairs() -> None:
    # A machine twice as slow in the second round changes both of its times and no ratio.
    assert median_ratio([10, 20, 30], [20, 40, 10]) == 0.5


def test_columns_are_aligned() -> None:
    cells = [("name", "ms", "note"), ("loop", "10.0", ""), ("bare", "9.5", "float32")]
    assert aligned(cells, left=(0, 2)).splitlines() == [
        "name    ms  note",
        "loop  10.0",
        "bare   9.5  float32",
    ]


@pytest.fixture
def looped(tiny_bundle: Path) -> Bundle:
    return open_bundle(tiny_bundle)._replace(path=Path("looped.bundle"))


@pytest.fixture
def unrolled(looped: Bundle) -> Bundle:
    return looped._replace(path=Path("unrolled.bundle"), unrolled_steps=10, unrolled_batch=4)


def settings(*bundles: Bundle, **changes: tuple) -> tuple[list[tuple[str, str, int, int]], list]:
    default = {"devices": ("cpu",), "variants": BAKED, "steps": (5, 10), "batches": (1, 4)}
    planned, left_out = plan(bundles, **{**default, **changes})
    return [(each.name, each.variant, each.steps, each.batch) for each in planned], left_out


def test_an_unrolled_bundle_does_what_it_can(looped: Bundle, unrolled: Bundle) -> None:
    planned, left_out = settings(looped, unrolled)
    assert planned == [
        *(("looped.bundle", "loop", steps, batch) for steps in (5, 10) for batch in (1, 4)),
        ("unrolled.bundle", "unrolled", 10, 4),
    ]
    assert left_out == [
        "unrolled.bundle: no --steps=5, since it is unrolled for 10",
        "unrolled.bundle: no --batch_sizes=1, since it is unrolled for batches of 4",
    ]


def test_steps_of_all_bundles(looped: Bundle, unrolled: Bundle) -> None:
    assert (default_steps([looped]), default_steps([looped, unrolled])) == (20, 10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": (5,)}, "--bundle=unrolled.bundle: no --steps=5, since it is unrolled for 10"),
        ({"variants": ("loop",)}, "--variants=loop: unrolled.bundle is unrolled"),
        ({"steps": (1001,)}, "--steps=1001: expected at most 1000"),
    ],
)
def test_nothing_left_to_do_is_wrong_usage(unrolled: Bundle, changes: dict, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        settings(unrolled, **changes)


def test_a_missing_graph_is_named(looped: Bundle) -> None:
    alone = looped._replace(graphs={"sampler": looped.graphs["sampler"]})
    with pytest.raises(BundleError, match="holds no graph 'noise'"):
        settings(alone, variants=("stepwise",))


def test_openvino_goes_step_by_step(looped: Bundle) -> None:
    devices = ("cpu", "openvino")
    planned, _ = settings(looped, devices=devices, variants=("loop", "stepwise"), steps=(5,))
    variants = [variant for _, variant, _, batch in planned if batch == 1]
    assert variants == ["loop", "stepwise", "stepwise"]


def test_bundles_of_one_name_go_by_their_paths(looped: Bundle) -> None:
    others = [looped._replace(path=Path(folder) / "a.bundle") for folder in ("x", "y")]
    names = [name for name, *_ in settings(*others, steps=(5,), batches=(1,))[0]]
    assert names == [os.path.join("x", "a.bundle"), os.path.join("y", "a.bundle")]  # noqa: PTH118


@pytest.mark.skipif(util.find_spec("matplotlib") is None, reason="needs matplotlib")
@pytest.mark.parametrize("name", ["\udcff.bundle", r"$\frac$.bundle"])
def test_any_name_can_be_drawn(tmp_path: Path, name: str) -> None:
    numbers: dict[str, Any] = {field.name: 1 for field in fields(Row)}
    names = {"bundle": name, "device": "cpu", "variant": "loop"}
    rows = [Row(**{**numbers, **names, "batch": batch}) for batch in (1, 2)]
    write_plot(tmp_path / "a.png", [*rows, replace(rows[0], bundle="other")], "")
    assert (tmp_path / "a.png").is_file()


def test_the_product_is_a_product() -> None:
    onnx.checker.check_model(onnx.load_from_string(product_graph()), full_check=True)
    session = onnxruntime.InferenceSession(product_graph(), providers=["CPUExecutionProvider"])
    a, b = np.random.default_rng(0).standard_normal((2, 300, 300)).astype(np.float32)
    # Sums of 300 products of numbers about 1, each rounded to 1e-7 of it.
    product = np.asarray(session.run(None, {"a": a, "b": b})[0])
    np.testing.assert_allclose(product, a @ b, atol=1e-4)


@pytest.mark.parametrize(
    ("operator", "inputs", "output", "count"),
    [
        ("Conv", [(2, 8, 5, 5), (6, 4, 3, 3)], (2, 6, 5, 5), 2 * 6 * 25 * 4 * 9),  # two groups
        ("ConvTranspose", [(1, 8, 5, 5), (8, 3, 2, 2)], (1, 3, 10, 10), 25 * 8 * 3 * 4),
        ("MatMul", [(2, 7, 5), (2, 5, 3)], (2, 7, 3), 2 * 7 * 5 * 3),
        ("Gemm", [(5, 7), (5, 3)], (7, 3), 7 * 5 * 3),  # the first one transposed
        ("Add", [(5, 7), (5, 7)], (5, 7), 0),
    ],
)
def test_multiply_adds(operator: str, inputs: list, output: tuple, count: int) -> None:
    assert multiply_adds([Node(operator, "", 0, tuple(inputs), (output,))]) == count


@pytest.mark.slow
def test_multiply_adds_of_a_bundle_are_those_of_its_network(tiny_bundle: Path) -> None:
    # Only here: TensorFlow takes seconds to import.
    from golden_bundles import network

    from diffkiln.trainer.network import size

    job = {"bundle": str(tiny_bundle), "device": "cpu", "threads": None}
    with Process("network", job) as process:
        assert process.ready["multiply_adds"] == size.multiply_adds(network("full.bundle"))
        levels = process.ready["levels"]
    assert [size for *size, _ in levels] == [[16, 16], [8, 8], [1, 1]]


@pytest.mark.slow
def test_multiply_adds_of_other_networks_are_counted(
    arrays_bundle: Path, latents_bundle: Path
) -> None:
    # Dense layers to 8 and back to 3 around a convolution of 8 channels, and those of the time and
    # of two classes. The second has a decoder: a transposed convolution to 8 channels, and one
    # back to 3.
    decoder = 16 * 3 * 8 * 16 + 256 * 8 * 3 * 9
    expected = {
        arrays_bundle: 13 * (24 + 3 * 64 + 24) + 8 + 16,
        latents_bundle: 16 * (24 + 9 * 64 + 24) + 8 + decoder,
    }
    for bundle, count in expected.items():
        job = {"bundle": str(bundle), "device": "cpu", "threads": None}
        with Process("network", job) as process:
            assert process.ready["multiply_adds"] == count


def test_another_network_gets_as_many_multiply_adds() -> None:
    levels = [(32, 32, 48), (16, 16, 80), (8, 8, 112), (1, 1, 128)]
    shape = bundle_shape((64, 64, 3), levels)
    assert shape == Shape(32, 32, 3, patch=2, widths=(48, 80, 112))
    scaled, count = nearest(shape, 10**6, lambda shape: 300 * sum(w * w for w in shape.widths))
    assert all(width % 8 == 0 for width in scaled.widths)
    # Widths are multiples of 8: of the narrowest, 24, by at most a sixth, so twice that squared.
    assert 10**6 / 1.4 < count < 1.4 * 10**6


@pytest.mark.slow
def test_a_process_that_dies_is_reported(tiny_bundle: Path) -> None:
    job = {"bundle": str(tiny_bundle), "device": "cpu", "threads": 1, "variant": "loop"}
    with Process("sampling", {**job, "batch": 1, "steps": 1, "compare": False}) as process:
        os.kill(process.pid, signal.SIGTERM)  # which Windows has too
        with pytest.raises(RunError, match=r"sampling ended with status -?15 and no answer"):
            process.turn()


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_an_error_of_a_process_keeps_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    if platform != "win32":
        monkeypatch.delattr(subprocess, "CREATE_NEW_PROCESS_GROUP", raising=False)
    elif not hasattr(subprocess, "CREATE_NEW_PROCESS_GROUP"):
        # 0 is the only flag that other systems take.
        monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0, raising=False)
    with pytest.raises(BundleError, match="does not exist"):
        Process("network", {"bundle": str(tmp_path / "none"), "device": "cpu", "threads": 1})


def test_other_runtimes_are_imported_by_their_own_processes_alone() -> None:
    by_name = {
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute | ast.Name)
        and getattr(node, "attr", getattr(node, "id", "")) in ("import_module", "__import__")
    }
    others = ("tensorflow", "openvino", "diffusers", "litert")
    assert by_name == {f"compare/{name}.py" for name in others}


@pytest.mark.slow
def test_without_affinities_all_cores_are_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert machine()["usable_cores"] == os.cpu_count()
