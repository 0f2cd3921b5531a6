"""Bundles of arrays that are no pictures: vectors, sequences and fields of floats."""

import json
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from small_models import array_network, run_onnx, small_exporter

from diffkiln.export import export_bundle
from diffkiln.export.options import GRAPHS, MORE_GRAPHS, Learning
from diffkiln.export.proof.reference_noise import reference_noise
from diffkiln.export.verify import verify_bundle
from diffkiln.runtime import Sampler
from diffkiln.trainer.errors import InputError

pytestmark = pytest.mark.slow

MEAN, STD = (1.0, -20.0, 0.0), (0.5, 10.0, 3.0)
DATA: dict[str, Any] = {"mean": MEAN, "std": STD, "prediction": "velocity"}
SMALL = {"graphs": ("sampler",), "saved_model": False}


def zero_network(shape: tuple[int, ...]) -> keras.Model:
    """The velocity of standard normal data, which is 0 at every time."""
    noisy, time = keras.Input(shape, name="noisy"), keras.Input((), name="time")
    zeros = keras.layers.Dense(shape[-1], kernel_initializer="zeros")(noisy)
    return keras.Model([noisy, time], zeros)


def sampled(bundle: Path, seeds: list[int], steps: int) -> np.ndarray:
    (samples,) = run_onnx(bundle / "sampler.onnx", seeds=np.array(seeds), steps=np.array(steps))
    return samples


@pytest.mark.parametrize("shape", [(3,), (7, 3), (4, 5, 3)])
def test_normal_data_have_a_closed_form(tmp_path: Path, shape: tuple[int, ...]) -> None:
    export_bundle(zero_network(shape), tmp_path / "bundle", **DATA, **SMALL)
    seeds, steps = [3, 2**40], 4
    # Where v = 0, x̂_0 = signal·x and ε̂ = noise·x, so DDIM turns by the angle of each step.
    first, last = np.arccos(0.02), np.arccos(0.95)
    angles = first + (last - first) * np.arange(steps) / steps
    shrunk = np.prod(np.cos(np.diff(angles))) * np.cos(angles[-1])
    expected = np.array(MEAN) + np.array(STD) * shrunk * reference_noise(seeds, shape)
    assert np.allclose(sampled(tmp_path / "bundle", seeds, steps), expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(3,), (13, 3), (4, 5, 3)])
def test_every_form_is_written_and_proved(tmp_path: Path, shape: tuple[int, ...]) -> None:
    graphs = [name for name in (*GRAPHS, *MORE_GRAPHS) if name != "trajectory"]
    bundle = tmp_path / "bundle"
    certificate = export_bundle(array_network(shape), bundle, graphs=graphs, litert=True, **DATA)
    assert len(certificate.to_reference) == 3 * (
        len(graphs) - 1
    )  # noise is compared within the others
    assert "in units of the standard deviation" in certificate.table()
    verify_bundle(bundle)
    manifest = json.loads((bundle / "bundle.json").read_text())
    assert manifest["format_version"] == 5
    assert manifest["array"] == {"shape": [*shape], "mean": [*MEAN], "std": [*STD]}
    assert {"image", "pixel_mean", "pixel_std"}.isdisjoint(manifest)


@pytest.mark.parametrize(
    "settings",
    [
        {"precision": "float16"},
        {"weight_storage": "float16"},
        {"unroll_steps": 3, "batch_size": 2},
        {"eta": 1.0},
        {"numbers_as_lists": True},
        {"solver": "dpmpp_2m", "time_grid": "karras"},
        {"schedule": "ddpm_cosine", "prediction": "noise"},
    ],
)
def test_other_settings_are_baked_too(tmp_path: Path, settings: dict[str, Any]) -> None:
    export_bundle(array_network((13, 3)), tmp_path / "b", **{**DATA, **SMALL, **settings})
    with Sampler(tmp_path / "b", device="cpu") as sampler:
        samples = sampler.sample(2)
    assert (samples.dtype, samples.shape) == (np.float32, (2, 13, 3))


def test_tables_are_learned(tmp_path: Path) -> None:
    learning = Learning(steps=(3,), iterations=3)
    settings = {**DATA, **SMALL, "solver": "dpmpp_2m", "tables": str(tmp_path / "tables.json")}
    export_bundle(array_network((5, 3)), tmp_path / "b", learning=learning, **settings)
    judged = json.loads((tmp_path / "tables.json").read_text())["judged"]
    assert list(judged) == ["3"]


def test_a_network_from_onnx_keeps_its_axes(tmp_path: Path) -> None:
    exporter = small_exporter(array_network((13, 3)), **DATA)
    onnx.save(exporter.network, tmp_path / "net.onnx")
    export_bundle(tmp_path / "net.onnx", tmp_path / "from_onnx", **DATA, graphs=("sampler",))
    export_bundle(array_network((13, 3)), tmp_path / "from_keras", **DATA, **SMALL)
    both = [sampled(tmp_path / name, [0, 7], 5) for name in ("from_onnx", "from_keras")]
    # Both compute in float32 what differs in the order of sums alone.
    assert np.allclose(*both, atol=1e-4 * max(STD))
    verify_bundle(tmp_path / "from_onnx", tmp_path / "net.onnx")


def test_out_of_range_inputs_give_no_numbers() -> None:
    signatures = small_exporter(array_network((3,)), **DATA).signatures
    assert all(math.isnan(each.nothing) for each in signatures.processes().values())


@pytest.mark.parametrize(
    ("shape", "changes", "expected"),
    [
        ((2, 3, 4, 3), {}, r"\[N, 2, 3, 4, 3\].*; expected noisy arrays \[N, D\], \[N, T, C\]"),
        ((None, 3), {}, "takes arrays of any size"),
        ((13, 3), {"clip": True}, "clip=True: is for images"),
        ((13, 3), {"dynamic_threshold": 0.9}, "dynamic_threshold=0.9: is for images"),
        ((13, 3), {"std": 0.0}, "std=0.0: expected one finite number"),
        ((13, 3), {"mean": (1.0, 2.0)}, r"mean=\(1.0, 2.0\): expected one finite number"),
        ((13, 3), {"mean": float("nan")}, "mean=nan: expected one finite number"),
        ((13, 3), {"mean": 1e8}, "^mean, std: .* float32 rounds by 24 deviations, .* subtract"),
        (
            (13, 3),
            {"std": 1e39},
            "^mean, std: .* deviation 1e[+]39, expected .* choose other units",
        ),
        ((13, 3), {"std": 1e-39}, "^mean, std: .* deviation 1e-39, expected a deviation from"),
        ((13, 3), {"std": None}, "got mean; expected pixel_mean"),
        ((13, 3), {"pixel_mean": 0.5}, "got mean, pixel_mean, std; expected"),
        ((13, 3), {"image_size": 13}, "image_size=13: is for images"),
        ((13, 3), {"fit": "pad"}, "fit=pad: is for images"),
        ((13, 3), {"mean": None, "std": None}, "got none; expected pixel_mean"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, shape: tuple[int, ...], changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(InputError, match=expected) as caught:
        export_bundle(zero_network(shape), tmp_path / "b", **{**DATA, **SMALL, **changes})
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_numbers_far_from_zero_are_proved_as_float32_holds_them(tmp_path: Path) -> None:
    """Degrees of places in one town."""
    network, units = zero_network((2,)), {"mean": (48.85, 2.35), "std": 1e-4}
    export_bundle(network, tmp_path / "b", **{**DATA, **SMALL, **units})
    certificate = json.loads((tmp_path / "b/bundle.json").read_text())["certificate"]
    assert certificate["tolerance"] == 1e-3


def test_an_entry_far_from_zero_leaves_others_their_proof(tmp_path: Path) -> None:
    network = array_network((3,))
    data: dict[str, Any] = {"mean": (0.0, 0.0, 2e7), "std": (1.0, 1.0, 20.0)}
    export_bundle(network, tmp_path / "b", **{**DATA, **data}, graphs=("sampler",))
    other = keras.models.clone_model(network)
    other.set_weights([1.005 * weights for weights in network.get_weights()])
    with pytest.raises(InputError, match=r"is not what .* was made from"):
        verify_bundle(tmp_path / "b", other)


def test_arrays_are_not_taken_for_images_nor_images_for_arrays(tmp_path: Path) -> None:
    pixels = {"pixel_mean": 0.5, "pixel_std": 0.25}
    with pytest.raises(InputError, match="give mean and std in place of pixel_mean and pixel_std"):
        export_bundle(zero_network((13, 3)), tmp_path / "b", **pixels, **SMALL)
    export_bundle(zero_network((8, 8, 3)), tmp_path / "b", **DATA, **SMALL)
    assert sampled(tmp_path / "b", [1], 2).dtype == np.float32
